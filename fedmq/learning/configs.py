"""Training configs from plain values, such as a person writes and a request carries."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from fedmq.errors import ConfigurationError, PlanError
from fedmq.learning.plan import PlanConfig, TrainingPlan


def make_config(plan_class: type[TrainingPlan], values: Mapping[str, object]) -> PlanConfig:
    """Return the plan's config with `values` set and all else at its default.

    Types and ranges are those of the fields' annotations, taken strictly: no text for a number, no
    `true` for 1; a whole number for a float is fine, and lists become tuples.

    Raises:
        ConfigurationError: an unknown name, a missing one, a value of another type or out of
            range; the error names the field.
        PlanError: the config class of the plan has types that cannot be checked.
    """
    fields = {field.name: field for field in dataclasses.fields(plan_class.config_class)}
    for name in values:
        if name not in fields:
            raise ConfigurationError(
                f"{plan_class.name} has no setting {name!r}",
                why=f"it has {', '.join(fields) or 'none at all'}",
                fix="mend the name, or leave it out",
            )
    for name, field in fields.items():
        has_default = not (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if name not in values and not has_default:
            raise ConfigurationError(
                f"{plan_class.name} needs the setting {name!r}", fix="give it a value"
            )
    adapters = _adapters(plan_class)
    checked = {
        name: _check_value(plan_class.name, name, adapters[name], value)
        for name, value in values.items()
    }
    build: Callable[..., PlanConfig] = plan_class.config_class
    try:
        return build(**checked)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"the settings of {plan_class.name} do not fit together", why=str(error)
        ) from error


def _adapters(plan_class: type[TrainingPlan]) -> dict[str, TypeAdapter[object]]:
    try:
        hints = get_type_hints(plan_class.config_class, include_extras=True)
        return {name: TypeAdapter(hint) for name, hint in hints.items()}
    except (NameError, PydanticUserError) as error:
        raise PlanError(
            f"the config of {plan_class.name} cannot be checked",
            why="a field's type is unknown",
            fix="the plan's author uses numbers, text, truth values, Literal and tuples of them",
        ) from error


def _check_value(plan: str, name: str, adapter: TypeAdapter[object], value: object) -> object:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError) as error:
        raise _bad_value(plan, name, "it is no number, text, truth value or list") from error
    try:
        # Read as JSON, since there strict types still let lists be tuples and 1 be 1.0.
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part}]" for part in first["loc"] if isinstance(part, int))
        raise _bad_value(plan, name + place, first["msg"]) from error


def _bad_value(plan: str, name: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"the setting {name} of {plan} is not usable", why=why, fix="mend the value"
    )
