"""JSON that people write by hand, checked by pydantic: every fault at once, in the words of the other errors."""

from __future__ import annotations

from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from remid_jax.dialogues.faults import kind, meant


class Written(BaseModel):
    """An object that a person writes: no key but the known ones, no value taken for another kind's."""

    model_config = ConfigDict(extra="forbid", strict=True)


Model = TypeVar("Model", bound=BaseModel)
_WANTED = {
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "an object",
    "mapping_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "bool_type": "true or false",
}


def validated(model: type[Model], value: Any, faults: list[str]) -> Model | None:
    """Returns `value` as a `model`, or None and adds what is wrong with it to `faults`, each with its place."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults += [_fault(model, details) for details in error.errors()]
        return None


def _fault(model: type[BaseModel], details: Any) -> str:
    at = ".".join(str(step) for step in details["loc"])
    error = details["type"]
    if error == "missing":
        return f"{at}: missing"
    if error == "extra_forbidden":
        return f"{at}: unknown key{meant(str(details['loc'][-1]), _siblings(model, details['loc'][:-1]))}"
    if error in _WANTED:
        return f"{at + ': ' if at else ''}must be {_WANTED[error]}, not {kind(details['input'])}"
    return f"{at}: {details['msg'].removeprefix('Value error, ')}"


def _siblings(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """The keys of the model itself, or below it those of the models that its fields hold."""
    if not path:
        return list(model.model_fields)
    kinds = [held for field in model.model_fields.values() for held in (field.annotation, *get_args(field.annotation))]
    return [key for held in kinds if isinstance(held, type) and issubclass(held, BaseModel) for key in held.model_fields]
