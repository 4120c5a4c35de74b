"""Units of columns: a plan that counts in months is not given days."""

from fedmq.errors import ConfigurationError
from fedmq.imaging.dictionary.model import Dictionary
from fedmq.learning.plan import PlanConfig, TrainingPlan


def require_units(
    plan: type[TrainingPlan] | TrainingPlan, config: PlanConfig, dictionary: Dictionary
) -> None:
    """Return if the columns that a plan takes in a unit are in it, by the dictionary of the data.

    Raises:
        ConfigurationError: the dictionary has one in another unit, or does not have it: then no
            plan sees it.
    """
    for setting, unit in plan.units.items():
        column = str(getattr(config, setting))
        variable = dictionary.variables.get(column)
        if variable is None:
            raise ConfigurationError(
                f"{dictionary.name} {dictionary.version} has no variable {column}",
                why=f"{plan.name} reads it ({setting}), and plans see what the dictionary has",
                fix=f"set {setting} to one of {', '.join(dictionary.variables)}",
            )
        if variable.unit != unit:
            raise ConfigurationError(
                f"{column} is in {variable.unit or 'no unit'}, and {plan.name} counts in {unit}",
                why=f"{dictionary.name} {dictionary.version} says so",
                fix=f"let the dictionary have it in {unit}: sites' columns are converted",
            )
