"""What suites, overviews and panels have in common: version, name, title, dims, precisions."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, field_validator
from pydantic_core import PydanticCustomError

from granite_bench.devices import Precision

FORMAT_VERSION = 1

_V = TypeVar("_V", int, str)


def each_once(values: tuple[_V, ...]) -> tuple[_V, ...]:
    """The values; refused by pydantic where one stands there twice."""
    repeated = sorted(value for value, times in Counter(values).items() if times > 1)
    if repeated:
        raise PydanticCustomError("repeated", f"listed twice: {', '.join(map(str, repeated))}")
    return values


Dims: TypeAlias = Annotated[
    tuple[Annotated[StrictInt, Field(gt=0)], ...], AfterValidator(each_once)
]
Precisions: TypeAlias = Annotated[tuple[Precision, ...], AfterValidator(each_once)]

# Results and reports are files of this name, with an ending.
FileName: TypeAlias = Annotated[
    str, Field(pattern=r"^[^./\x00-\x1f\x7f][^/\x00-\x1f\x7f]*$", max_length=100)
]


class Strict(BaseModel):
    """A part of a file; a key that it does not know is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Document(Strict):
    """What every file starts with."""

    version: StrictInt
    name: FileName
    title: str

    @field_validator("version")
    @classmethod
    def _known_version(cls, version: int) -> int:
        if version != FORMAT_VERSION:
            raise PydanticCustomError(
                "version",
                f"format {version} is not known to this release, which reads {FORMAT_VERSION}"
                + ("; update granite-bench" if version > FORMAT_VERSION else ""),
            )
        return version
