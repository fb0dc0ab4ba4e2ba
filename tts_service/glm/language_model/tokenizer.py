"""The text tokenizer, without the remote code that its checkpoint asks for."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from pipecat_glm_tts.wording import tr
from tts_service.glm.published.checkpoint import CheckpointError, read_json

SPEECH_TOKENS = 32768
_FIRST, _LAST, _BEGIN, _END, _PAD = (
    "<|audio_0|>",
    f"<|audio_{SPEECH_TOKENS - 1}|>",
    "<|begin_of_audio|>",
    "<|user|>",
    "<|endoftext|>",
)
_INITIALS = tuple("B C CH D F G H J K L M N P Q R S SH T X Z ZH".split())
_FIVE_TONES = "A AI AN ANG AO E EI EN ENG I IA IAN IANG IAO IE II III IN ING IOU O ONG OU U UA UANG UEI UEN UO V VAN VN"
_FOUR_TONES = "VE UAI UAN IONG"
PHONEMES = (
    *_INITIALS,
    *(final + tone for final in _FIVE_TONES.split() for tone in "12345"),
    *(final + tone for final in _FOUR_TONES.split() for tone in "1234"),
    *("ER2", "ER3", "ER4", "UENG1", "UENG3", "UENG4", "IO1"),
)
"""The 204 phonemes that are single tokens, `<|B|>` to `<|VN5|>`."""
# the pre-split that cl100k-style vocabularies were trained with
_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True)
class SpeechIds:
    """Where speech lives in the language model's vocabulary."""

    first: int
    """Id of speech token 0; speech token n is `first + n`."""
    begin: int
    """Begin of audio."""
    end: int
    """End of speech."""


class TextTokenizer:
    """Text with phoneme tags to ids."""

    def __init__(self, folder: Path) -> None:
        """Read `tokenizer.json`, or `tokenizer.model` (base64 bytes and rank) with `tokenizer_config.json`."""
        self._tokenizer = (
            _from_json(folder / "tokenizer.json") if (folder / "tokenizer.json").exists() else _from_ranks(folder)
        )
        single = {
            text: self._single(folder, text)
            for text in (_PAD, _END, _BEGIN, _FIRST, _LAST, *(f"<|{p}|>" for p in PHONEMES))
        }
        if early := [text for text, index in single.items() if index < single[_PAD]]:
            raise CheckpointError(
                tr(
                    "{folder}: {early} has an id below {pad}; this is another model's tokenizer",
                    folder=folder,
                    early=early[0],
                    pad=_PAD,
                )
            )
        if single[_LAST] - single[_FIRST] != SPEECH_TOKENS - 1:
            raise CheckpointError(
                tr(
                    "{folder}: {first} and {last} are not {speech_tokens} ids apart",
                    folder=folder,
                    first=_FIRST,
                    last=_LAST,
                    speech_tokens=SPEECH_TOKENS - 1,
                )
            )
        self.speech = SpeechIds(single[_FIRST], single[_BEGIN], single[_END])

    def _single(self, folder: Path, text: str) -> int:
        ids = self.encode(text)
        if len(ids) != 1:
            raise CheckpointError(
                tr(
                    "{folder}: {text} becomes {ids_count} ids instead of one; this is another model's tokenizer",
                    folder=folder,
                    text=text,
                    ids_count=len(ids),
                )
            )
        return ids[0]

    def encode(self, text: str) -> list[int]:
        """Ids of a text; `<|...|>` tags of the vocabulary become single ids."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)


def _from_json(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception for any defect of the file
        raise CheckpointError(
            tr("{path} is not a tokenizer ({error}); fetch it again with `glm-tts download`", path=path, error=error)
        ) from error


def _from_ranks(folder: Path) -> Tokenizer:
    ranks = _read_ranks(folder / "tokenizer.model")
    symbol = _byte_symbols()
    vocabulary = {"".join(symbol[byte] for byte in token): rank for token, rank in ranks.items()}
    merges = []
    for token in sorted(ranks, key=ranks.__getitem__):
        if len(token) > 1 and (pair := _last_merge(token, ranks)):
            left, right = ("".join(symbol[byte] for byte in half) for half in pair)
            merges.append((left, right))
    listed = _added(folder)
    # in the vocabulary they keep their ids, whatever gaps there are between them
    if taken := set(vocabulary.values()) & set(listed.values()):
        raise CheckpointError(
            tr("{folder}: id {taken} is both a rank and an added token", folder=folder, taken=min(taken))
        )
    tokenizer = Tokenizer(models.BPE(vocabulary | listed, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(content, normalized=False, special=True) for content in listed])
    return tokenizer


def _added(folder: Path) -> dict[str, int]:
    """The added tokens of `tokenizer_config.json` and their ids, in the order of the ids."""
    path = folder / "tokenizer_config.json"
    added = read_json(path).get("added_tokens_decoder")
    if not isinstance(added, dict):
        raise CheckpointError(tr("{path}: `added_tokens_decoder` is missing; it names the speech tokens", path=path))
    try:
        numbered = sorted((int(index), str(entry["content"])) for index, entry in added.items())
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(tr("{path}: an added token has no id or no content", path=path)) from error
    listed = {content: index for index, content in numbered}
    if len(listed) < len(numbered):
        raise CheckpointError(tr("{path}: an added token has two ids", path=path))
    return listed


def _read_ranks(path: Path) -> dict[bytes, int]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise CheckpointError(
            tr("{path} cannot be read ({reason}); fetch it with `glm-tts download`", path=path, reason=error.strerror)
        ) from error
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise CheckpointError(
                tr("{path}, line {number}: expected base64 bytes, a space and a rank", path=path, number=number)
            ) from error
    return ranks


def _last_merge(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes] | None:
    """The two halves that byte-pair encoding joins last when it builds `token`; None if it never does."""
    parts = [bytes([byte]) for byte in token]
    limit = ranks[token]
    while len(parts) > 2:
        candidates = [(ranks.get(parts[i] + parts[i + 1], limit), i) for i in range(len(parts) - 1)]
        rank, i = min(candidates)
        if rank >= limit:
            return None
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts[0], parts[1]


def _byte_symbols() -> list[str]:
    """The printable character that byte-level BPE writes for each byte."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]
