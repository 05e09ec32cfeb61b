"""What a world says about its Developer Center: files in its `cloud/`, by the names of the dataclass asked for."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ble_ota.virtual.world import World, WorldError

STRICT = ConfigDict(extra="forbid", strict=True)
"""For `pydantic.with_config`: no field that nobody knows, no number in quotes."""

Said = TypeVar("Said")


def said(world: World, name: str, otherwise: Said) -> Said:
    """Read `cloud/<name>` of `world` as what `otherwise` is an instance of; `otherwise` where there is no such file.

    Raises:
        WorldError: The file is no JSON of this form.
    """
    file = world.folder / "cloud" / name
    try:
        return TypeAdapter(type(otherwise)).validate_json(file.read_bytes())
    except FileNotFoundError:
        return otherwise
    except OSError as error:
        msg = f"{file} is not right: {error.strerror}"
        raise WorldError(msg) from error
    except ValidationError as error:
        msg = f"{file} is not right: {_first(error)}"
        raise WorldError(msg) from error


def _first(error: ValidationError) -> str:
    wrong = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in wrong["loc"])
    return f"{where}: {wrong['msg']}" if where else wrong["msg"]
