"""The catalogue: plans by name or from source, their digests, and their configs from plain values.

Nothing is imported before it is asked for: listing the catalogue needs no torch, and the source of
a plan can be read, digested and shown to an operator without running a line of it.
"""

import hashlib
import importlib
import importlib.resources
import inspect
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Final

from fedmq.errors import PlanError
from fedmq.learning.plan import TrainingPlan
from fedmq.types import Digest

_PACKAGE: Final = "fedmq.learning.plans"
CATALOGUE: Final[Mapping[str, str]] = {
    "clinical-logistic": f"{_PACKAGE}.clinical_logistic:ClinicalLogistic",
    "petct-segmentation": f"{_PACKAGE}.petct_segmentation:PetctSegmentation",
    "petct-survival": f"{_PACKAGE}.petct_survival:PetctSurvival",
}
"""Name -> `module:class` of the plans installed with fedmq."""


def plan_source(name: str) -> bytes:
    """Return the source of the catalogue's plan `name`, exactly as it is installed.

    Raises:
        PlanError: the catalogue has no such plan.
    """
    module, _ = _find(name)
    file = importlib.resources.files(_PACKAGE) / f"{module.rpartition('.')[2]}.py"
    return file.read_bytes()


def plan_digest(source: bytes) -> Digest:
    """Return the digest by which operators approve a plan: SHA-256 of its source."""
    return Digest(hashlib.sha256(source).hexdigest())


def load_plan(name: str) -> type[TrainingPlan]:
    """Return the class of the catalogue's plan `name`.

    Raises:
        PlanError: the catalogue has no such plan, or what it imports is not installed.
    """
    module, class_name = _find(name)
    try:
        plan_class = getattr(importlib.import_module(module), class_name)
    except ImportError as error:
        raise PlanError(
            f"the plan {name} cannot be loaded",
            why=f"{error.name or 'a package'} is not installed here",
            fix="the node's operator installs it: pip install 'fedmq[training]'",
        ) from error
    return _checked(plan_class)


def load_source(source: bytes) -> type[TrainingPlan]:
    """Return the one training plan that `source` defines; this runs the source's top level.

    Raises:
        PlanError: it does not run, or does not define exactly one plan.
    """
    # Under a name of its own in sys.modules: dataclasses and type hints look there.
    module = ModuleType(f"fedmq_plan_{plan_digest(source)[:16]}")
    sys.modules[module.__name__] = module
    try:
        code = compile(source, f"<{module.__name__}>", "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102 - only after approval of exactly these bytes
        return _only_plan_in(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(module.__name__, None)
        if isinstance(error, PlanError):
            raise
        raise PlanError(
            "the plan's source cannot be loaded",
            why=f"running it raised {type(error).__name__}",
            fix="the researcher runs the file alone first; the operator installs what it imports",
        ) from error


def _only_plan_in(module: ModuleType) -> type[TrainingPlan]:
    plans = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, TrainingPlan)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    ]
    # One class under two names is still one.
    if len(set(plans)) != 1:
        raise PlanError(
            "the plan's source does not define exactly one training plan",
            why=f"it defines {len(set(plans))} classes that extend TrainingPlan and can be used",
            fix="the researcher leaves one of them in the file",
        )
    return _checked(plans[0])


def _checked(plan_class: type[TrainingPlan]) -> type[TrainingPlan]:
    if not isinstance(getattr(plan_class, "name", None), str):
        raise PlanError(f"{plan_class.__name__} has no name", fix='give it one: name = "my-plan"')
    return plan_class


def _find(name: str) -> tuple[str, str]:
    if name not in CATALOGUE:
        raise PlanError(
            f"the catalogue has no plan {name!r}",
            why=f"it has {', '.join(sorted(CATALOGUE))}",
            fix="choose one of these, or ship the plan's source",
        )
    module, _, class_name = CATALOGUE[name].partition(":")
    return module, class_name
