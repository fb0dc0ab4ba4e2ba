"""`glm-tts say`: a text to a file, a pipe or the loudspeaker, while it is being made."""

import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, cast

import typer

from pipecat_glm_tts.wording import tr
from tts_service.cli.console import (
    BitrateOption,
    CheckpointOption,
    DictOption,
    EngineOption,
    JsonOption,
    LabelOption,
    LabelPlaceOption,
    LanguageOption,
    LibraryOption,
    arguments,
    check_engine,
    err,
    load_engine,
    load_lexicon,
    out,
    print_json,
    text_source,
    warn,
)
from tts_service.engine import AudioChunk, SpeechError, SynthesisOptions
from tts_service.files import STDOUT, Through, check_writable

if TYPE_CHECKING:
    from tts_service.speech.utterance import Report, Wait

_PLAYERS = (
    ("aplay", "-q", "-t", "raw", "-f", "S16_LE", "-c", "1", "-r", "{rate}"),
    ("paplay", "--raw", "--format=s16le", "--channels=1", "--rate={rate}"),
    ("play", "-q", "-t", "raw", "-e", "signed", "-b", "16", "-c", "1", "-r", "{rate}", "-"),
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error", "-f", "s16le", "-ar", "{rate}", "-"),
)
"""Programs that play raw samples from their standard input: ALSA, PulseAudio, SoX, FFmpeg."""


def say(
    text: Annotated[str | None, typer.Argument(help=tr("What to say; - for standard input"))] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help=tr("Read the text from a file"))] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help=tr("File to write (.wav .flac .mp3 .opus .pcm); - for stdout"),
        ),
    ] = None,
    format: Annotated[str | None, typer.Option("--format", help=tr("wav, pcm, flac, mp3 or opus"))] = None,
    play: Annotated[bool, typer.Option("--play", help=tr("Play on the sound card"))] = False,
    voice: Annotated[str | None, typer.Option("--voice", "-v", help=tr("Name of a voice"))] = None,
    voices: LibraryOption = None,
    engine: EngineOption = "kokoro",
    checkpoint: CheckpointOption = None,
    preset: Annotated[str | None, typer.Option(help=tr("See: glm-tts presets"))] = None,
    speed: Annotated[float | None, typer.Option(help=tr("Tempo, 0.25 to 4"))] = None,
    language: LanguageOption = None,
    seed: Annotated[int | None, typer.Option(help=tr("Random seed"))] = None,
    sample_rate: Annotated[int | None, typer.Option(help=tr("Sample rate in Hz"))] = None,
    sampling: Annotated[str | None, typer.Option(help=tr("ras or topk"))] = None,
    bitrate: BitrateOption = None,
    stream: Annotated[
        bool | None,
        typer.Option("--stream/--no-stream", help=tr("Emit while it is being made, or when complete")),
    ] = None,
    subtitles: Annotated[
        str | None,
        typer.Option(metavar="srt|vtt", help=tr("Write subtitles too, a cue a clause")),
    ] = None,
    label: LabelOption = "off",
    label_at: LabelPlaceOption = "beginning",
    dict_: DictOption = None,
    as_json: JsonOption = False,
) -> None:
    """Speak a text to a file, to the loudspeaker or down a pipe."""
    from tts_service.speech.audible import Audible, Kind, Place
    from tts_service.voices.library import Library, check_voice, speaker
    from tts_service.workshop.audio_file import SpeechWriter, check_format, save
    from tts_service.workshop.label import Label
    from tts_service.workshop.presets import honoured, native_rate
    from tts_service.workshop.presets import preset as preset_named
    from tts_service.workshop.subtitles import FORMS, Subtitles

    asked = {
        "speed": speed,
        "language": language,
        "seed": seed,
        "sample_rate": sample_rate,
        "sampling": sampling,
    }
    with arguments():
        check_engine(engine)
        audible = Audible(cast(Kind, label), cast(Place, label_at))
        chosen = preset_named(preset) if preset else None
        options: dict[str, Any] = {
            **(chosen.options if chosen else {}),
            **{k: v for k, v in asked.items() if v is not None},
        }
        SynthesisOptions(**options)
        format = format or (Path(output).suffix.lstrip(".").lower() if output and output != "-" else None) or "wav"
        check_format(format, options.get("sample_rate", 24000), bitrate)
        if play and output is not None:
            raise SpeechError(tr("give either --play or --output, not both"))
        place = _place(output, format)
        if place == STDOUT and sys.__stdout__ is None:
            raise SpeechError(tr("the standard output is closed"))
        if not play:
            check_writable(place)
        library = Library(voices)
        check_voice(engine, library, voice)
        if subtitles is not None and (subtitles not in FORMS or play or place == STDOUT):
            raise SpeechError(
                tr(
                    "--subtitles are written beside an audio file, as {forms}; give --output a file too",
                    forms=", ".join(FORMS),
                )
            )
        lexicon = load_lexicon(dict_)
        pieces = text_source(text, file)
        first = next(pieces, "")
    if play:
        _installed_player()
    target = tr("sound card") if play else "-" if place == STDOUT else str(place)
    if stream is None:
        stream = chosen.stream if chosen else True
    reports: list[Report] = []
    with load_engine(engine, checkpoint, voices) as synthesizer:
        synthesizer.on_report.append(reports.append)
        options, absent = honoured(engine, options)
        if ignored := [name for name in absent if asked.get(name) is not None]:
            warn(tr("the {engine} engine has no use for: ", engine=engine) + ", ".join(ignored))
        rate = options.pop("sample_rate", None) or synthesizer.sample_rate
        options |= native_rate(engine, rate)
        who = speaker(synthesizer, library, voice)
        titles = Subtitles()
        words = titles.reading(chain([first], pieces))
        spoken = synthesizer.stream(words, who, lexicon=lexicon, audible=audible, on_wait=_waiting, **options)
        chunks: Iterable[AudioChunk] = titles.hearing(spoken)
        if not stream:
            chunks = list(chunks)
        notice = Label(engine, who.name)
        if play:
            with _player(rate) as sink, SpeechWriter(sink, "pcm", rate, notice) as writer:
                for chunk in chunks:
                    writer.write(chunk)
        else:
            save(place, chunks, rate, notice, format, bitrate)
            if subtitles is not None:
                titles.save(place, subtitles)
    [report] = reports
    summary = {
        "output": target,
        "engine": engine,
        "voice": report.voice,
        "sample_rate": rate,
        "seconds": round(report.audio, 3),
        "first_audio": None if report.first_audio is None else round(report.first_audio, 3),
        "rtf": None if report.real_time_factor is None else round(report.real_time_factor, 3),
    }
    if as_json:
        print_json(summary, err if target == "-" else out)
    elif target != "-":
        out.print(f"{target}  {report.audio:.1f} s", markup=False)


def _waiting(wait: "Wait") -> None:
    err.print(tr("waiting: ") + str(wait), markup=False)


def _place(output: str | None, format: str) -> Path:
    if output == "-":
        return STDOUT
    return Path(output) if output else Path("@outputs") / f"tts_{datetime.now():%Y%m%d_%H%M%S}.{format}"


def _installed_player() -> tuple[str, ...]:
    found = next((command for command in _PLAYERS if shutil.which(command[0])), None)
    if found is None:
        names = ", ".join(command[0] for command in _PLAYERS)
        raise SpeechError(tr("no player found ({names}); use --output instead", names=names))
    return found


@contextmanager
def _player(rate: int) -> Iterator[BinaryIO]:
    """A program that plays what is written to it; leaving the block waits until it has finished."""
    found = _installed_player()
    process = subprocess.Popen([part.format(rate=rate) for part in found], stdin=subprocess.PIPE)
    assert process.stdin is not None
    try:
        with process.stdin as pipe:
            yield cast(BinaryIO, Through(cast(BinaryIO, pipe)))
    except BrokenPipeError:
        pass  # its exit status says why
    except BaseException:
        process.kill()
        raise
    if process.wait() != 0:
        raise SpeechError(tr("{found} could not play (no sound card?); use --output", found=found[0]))
