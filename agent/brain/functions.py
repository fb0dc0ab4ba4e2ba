"""Functions of your own that the brain may call, by their names in the settings.

`shop:order` names one, `shop` all that the module defines. They are direct functions, as Pipecat calls them, such as
`async def order(params, dish: str)`: docstring and annotations tell the brain what they do, and they answer with
`params.result_callback`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from agent.settings import SettingsError
from pipecat_glm_tts.wording import tr

Function = Callable[..., Awaitable[Any]]


def named_functions(names: Sequence[str]) -> list[Function]:
    """Import what the names stand for.

    Raises:
        SettingsError: There is no such module or function, or it is none that a brain can call.
    """
    return [function for name in names for function in _found(name)]


def _found(name: str) -> list[Function]:
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a stranger's module raises what it likes
        raise SettingsError(
            tr(
                "brain.functions: cannot import {module}: {error}; is it installed, or in PYTHONPATH?",
                module=module_name,
                error=error,
            )
        ) from None
    there = {
        n: f
        for n, f in vars(module).items()
        if inspect.iscoroutinefunction(f) and f.__module__ == module_name and next(iter(_parameters(f)), "") == "params"
    }
    if (function_name and function_name not in there) or not there:
        raise SettingsError(
            tr(
                "brain.functions: {name} names no `async def name(params, ...)` of {module}; write some of {known}",
                name=name,
                module=module_name,
                known=", ".join(f"{module_name}:{n}" for n in there) or "-",
            )
        )
    return [there[function_name]] if function_name else list(there.values())


def _parameters(function: Function) -> list[str]:
    return list(inspect.signature(function).parameters)
