"""Any installed Pipecat service as ears or brain, by its name in the settings.

`pipecat.services.deepgram.stt:DeepgramSTTService` names a class, `pipecat.services.deepgram.stt` the only one of its
kind in that module. `settings` among the arguments become the service's own Settings; `$NAME` is replaced from the
environment, so that a profile holds no secrets.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from pipecat.services.ai_service import AIService

from agent.settings import SettingsError
from pipecat_glm_tts.wording import tr

Kind = TypeVar("Kind", bound=AIService)


class NamedService(Generic[Kind]):
    """A class and its arguments, checked; every conversation makes one.

    Args:
        field: Where the name stands, for the messages: `ears` or `brain`.
        name: `module:Class` or `module`.
        arguments: For its constructor.
        kind: What it has to be.

    Raises:
        SettingsError: There is no such class, a package is missing, or it does not take these arguments.
    """

    def __init__(self, field: str, name: str, arguments: Mapping[str, Any], kind: type[Kind]) -> None:
        self._field = field
        self._name = name
        self._class = found_class(field, name, kind)
        self._arguments = dict(arguments)
        given = self._filled()
        parameters = inspect.signature(self._class.__init__).parameters
        own = [p for p in parameters if p not in ("self", "args", "kwargs")]
        inherited = {p for cls in self._class.__mro__ for p in _keywords(cls)}
        if unknown := sorted(set(given) - inherited):
            known = [*own, *sorted({p for cls in self._class.__mro__[1:3] for p in _keywords(cls)} - set(own))]
            raise SettingsError(
                tr(
                    "{field}.arguments: {service} takes no {names}; known: {known}",
                    field=field,
                    service=self._class.__name__,
                    names=", ".join(unknown),
                    known=", ".join(known),
                )
            )
        missing = [
            p for p in own
            if parameters[p].default is inspect.Parameter.empty
            and parameters[p].kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
            and p not in given
        ]  # fmt: skip
        if missing:
            raise SettingsError(
                tr(
                    "{field}.arguments: {service} needs {names}",
                    field=field,
                    service=self._class.__name__,
                    names=", ".join(missing),
                )
            )

    def make(self) -> Kind:
        """A service for one conversation.

        Raises:
            SettingsError: It refuses its arguments.
        """
        given = self._filled()
        try:
            return self._class(**given)
        except Exception as error:  # whatever a stranger's constructor raises
            kind = type(error).__name__
            raise SettingsError(
                tr(
                    "{field}.service {name} refuses its arguments: {kind}: {error}",
                    field=self._field,
                    name=self._name,
                    kind=kind,
                    error=error,
                )
            ) from error

    def _filled(self) -> dict[str, Any]:
        given = {name: self._from_environment(name, value) for name, value in self._arguments.items()}
        settings = given.get("settings")
        own_settings = getattr(self._class, "Settings", None)
        if isinstance(settings, dict) and own_settings is not None:
            try:
                given["settings"] = own_settings(**settings)
            except TypeError as error:
                raise SettingsError(
                    tr("{field}.arguments, settings: {error}", field=self._field, error=error)
                ) from None
        return given

    def _from_environment(self, name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._from_environment(f"{name}.{key}", inner) for key, inner in value.items()}
        if not (isinstance(value, str) and (match := re.fullmatch(r"\$(\w+)", value))):
            return value
        if not os.environ.get(match[1]):
            raise SettingsError(
                tr(
                    "{field}.arguments: {name} is {value}, but that environment variable is not set",
                    field=self._field,
                    name=name,
                    value=value,
                )
            )
        return os.environ[match[1]]


def found_class(field: str, name: str, kind: type[Kind]) -> type[Kind]:
    """Import what a name stands for.

    Raises:
        SettingsError: With what is missing or what would have been there.
    """
    module_name, _, class_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # Pipecat's modules raise what they like when a package is missing
        extra = re.fullmatch(r"pipecat\.services\.(\w+)(?:\..*)?", module_name)
        if extra is None:
            raise SettingsError(
                tr(
                    "{field}.service: cannot import {module}: {error}; is it installed?",
                    field=field,
                    module=module_name,
                    error=error,
                )
            ) from None
        package = f"pipecat-ai[{extra[1].replace('_', '-')}]"
        raise SettingsError(
            tr(
                "{field}.service: cannot import {module}: {error}; try pip install '{package}'",
                field=field,
                module=module_name,
                error=error,
                package=package,
            )
        ) from None
    there = {
        n: c
        for n, c in vars(module).items()
        if inspect.isclass(c) and issubclass(c, kind) and c.__module__ == module_name and not inspect.isabstract(c)
    }
    if class_name in there:
        return there[class_name]
    if not class_name and len(there) == 1:
        return next(iter(there.values()))
    if not class_name and not there:
        raise SettingsError(
            tr("{field}.service: {module} has no {kind}", field=field, module=module_name, kind=kind.__name__)
        )
    if class_name and isinstance(found := getattr(module, class_name, None), type) and issubclass(found, kind):
        return found
    known = ", ".join(f"{module_name}:{n}" for n in there) or "-"
    if not class_name:
        raise SettingsError(
            tr(
                "{field}.service: {module} has several; write one of {known}",
                field=field,
                module=module_name,
                known=known,
            )
        )
    raise SettingsError(
        tr(
            "{field}.service: {name} in {module} is no {kind}; write one of {known}",
            field=field,
            name=class_name,
            module=module_name,
            kind=kind.__name__,
            known=known,
        )
    )


def _keywords(cls: type) -> list[str]:
    init = vars(cls).get("__init__")
    return [p for p in inspect.signature(init).parameters if p not in ("self", "args", "kwargs")] if init else []
