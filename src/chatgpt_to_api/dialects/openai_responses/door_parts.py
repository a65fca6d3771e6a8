"""Client side, what a message or a call's output holds: its parts, read and checked with a path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw

from chatgpt_to_api.chat.request import Audio, File, Image, Part, Refusal, Text, Vendor
from chatgpt_to_api.dialects.openai_responses.messages import (
    DIALECT,
    AudioPart,
    FilePart,
    ImagePart,
    RefusalPart,
    TextPart,
)
from chatgpt_to_api.dialects.problems import decoded, invalid
from chatgpt_to_api.wire.base64_check import base64_problem, data_url_problem

T = TypeVar("T")


class _Typed(msgspec.Struct):
    type: str


_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_TYPED: Final = msgspec.json.Decoder(_Typed)
_TEXT: Final = msgspec.json.Decoder(TextPart)
_REFUSAL: Final = msgspec.json.Decoder(RefusalPart)
_IMAGE: Final = msgspec.json.Decoder(ImagePart)
_FILE: Final = msgspec.json.Decoder(FilePart)
_AUDIO: Final = msgspec.json.Decoder(AudioPart)

_OF_OUTPUT: Final = frozenset({"annotations", "logprobs"})
"""Fields of the model's own text that tell a reader something, and the model nothing."""


def content(given: str | Sequence[Raw] | None, param: str) -> tuple[Part, ...]:
    """Return the parts of what stands at ``param``. Raises InvalidRequest."""
    if not given:
        return ()
    if isinstance(given, str):
        return (Text(given),)
    return tuple(_part(raw, f"{param}[{index}]") for index, raw in enumerate(given))


def result_parts(given: str | Sequence[Raw], param: str) -> tuple[Text | Image | File, ...]:
    """Return what a call gave back: text, pictures and files. Raises InvalidRequest."""
    parts: list[Text | Image | File] = []
    for index, part in enumerate(content(given, param)):
        if not isinstance(part, Text | Image | File):
            raise invalid(
                f"{param}[{index}].type", "expected input_text, input_image or input_file"
            )
        parts.append(part)
    return tuple(parts)


def vendor_fields(raw: Raw, own: frozenset[str] | set[str], param: str) -> Vendor | None:
    """Return the fields of an object that nobody but a server of this dialect understands."""
    fields = decoded(raw, _OBJECT, param)
    rest = {k: v for k, v in fields.items() if k not in own and v is not None}
    return Vendor(DIALECT, rest) if rest else None


def _part(raw: Raw, param: str) -> Part:
    kind = decoded(raw, _TYPED, param).type
    read = _PARTS.get(kind)
    if read is None:
        raise invalid(f"{param}.type", f"expected one of {', '.join(_PARTS)}, got {kind[:40]!r}")
    return read(raw, param)


def _text(raw: Raw, param: str) -> Text:
    text = decoded(raw, _TEXT, param)
    return Text(text.text, vendor_fields(raw, _TEXT_FIELDS, param))


def _refusal(raw: Raw, param: str) -> Refusal:
    return Refusal(decoded(raw, _REFUSAL, param).refusal)


def _image(raw: Raw, param: str) -> Image | File:
    image = decoded(raw, _IMAGE, param)
    if image.image_url is None:
        if image.file_id is None:
            raise invalid(param, "expected image_url or file_id")
        return File(file_id=image.file_id, vendor=Vendor(DIALECT, {"type": "input_image"}))
    where = f"{param}.image_url"
    if not image.image_url.startswith(("https://", "http://", "data:")):
        raise invalid(where, "expected an http, https or data URL")
    if image.image_url.startswith("data:"):
        _check(data_url_problem(image.image_url), where)
    return Image(image.image_url, image.detail, vendor_fields(raw, _IMAGE_FIELDS, param))


def _file(raw: Raw, param: str) -> File:
    file = decoded(raw, _FILE, param)
    if file.file_data is None and file.file_id is None and file.file_url is None:
        raise invalid(param, "expected file_data, file_url or file_id")
    if file.file_data is not None:
        of = data_url_problem if file.file_data.startswith("data:") else base64_problem
        _check(of(file.file_data), f"{param}.file_data")
    if file.file_url is not None and not file.file_url.startswith(("https://", "http://")):
        raise invalid(f"{param}.file_url", "expected an http or https URL")
    return File(
        data=file.file_data,
        file_id=file.file_id,
        filename=file.filename,
        vendor=vendor_fields(raw, _FILE_FIELDS, param),
        url=file.file_url,
    )


def _audio(raw: Raw, param: str) -> Audio:
    sound = decoded(raw, _AUDIO, param).input_audio
    _check(base64_problem(sound.data), f"{param}.input_audio.data")
    return Audio(sound.data, sound.format, vendor_fields(raw, _AUDIO_FIELDS, param))


def _check(problem: str | None, param: str) -> None:
    if problem is not None:
        raise invalid(param, problem)


_PARTS: Final[Mapping[str, Callable[[Raw, str], Part]]] = {
    "input_text": _text,
    "output_text": _text,
    "text": _text,
    "refusal": _refusal,
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
}
_TEXT_FIELDS: Final = frozenset({"type", "text"}) | _OF_OUTPUT
_IMAGE_FIELDS: Final = frozenset({"type", *ImagePart.__struct_fields__})
_FILE_FIELDS: Final = frozenset({"type", *FilePart.__struct_fields__})
_AUDIO_FIELDS: Final = frozenset({"type", *AudioPart.__struct_fields__})
