"""Ranges of the fields of training configs: written in the type, checked by `make_config`."""

from typing import Annotated

from pydantic import Field

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
LearningRate = Annotated[float, Field(gt=0.0, le=10.0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Epochs = Annotated[int, Field(ge=1, le=1_000)]
BatchSize = Annotated[int, Field(ge=1, le=1_024)]
Side = Annotated[int, Field(ge=8, le=512)]
"""Side of a box in voxels."""
Sides = tuple[Side, Side, Side]
SpacingMm = Annotated[float, Field(ge=0.5, le=20.0, allow_inf_nan=False)]
Spacing = SpacingMm | tuple[SpacingMm, SpacingMm, SpacingMm]
"""Of cubic voxels, or by axis: right, anterior, superior."""
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Column = Annotated[str, Field(min_length=1, max_length=100)]
