"""Ids in the site's tables: which patient of the archive each one means. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fedmq.imaging.clinical import plain_id
from fedmq.imaging.matching import Matching, match_names


@dataclass(frozen=True, slots=True, kw_only=True)
class TableIds:
    """Whose rows a table has."""

    patients: Mapping[str, str]
    """Id in the table -> PatientID, of those that mean one."""
    matching: Matching

    def told(self, taken: Collection[str]) -> dict[str, str]:
        """Return id -> what became of its row, unless it was taken and is plain; names patients."""
        lost = {*self.patients, *self.matching.rows_without_case} - {*taken}
        aliases, doubts = self.matching.aliases, self.matching.doubts
        return {
            **dict.fromkeys(lost, "left out: its patient has no case"),
            **{one: f"taken for {aliases[one]}" for one in taken if one in aliases},
            **{one: f"left out: it may be {' or '.join(some)}" for one, some in doubts.items()},
        }

    def num_altered(self, taken: Collection[str]) -> int:
        """Return how many of the rows that were taken have ids that are written otherwise."""
        return len(self.matching.aliases.keys() & {*taken})


def match_ids(ids: Collection[str], patients: Collection[str]) -> TableIds:
    """Return which patients a table means, also where a spreadsheet made `7` of `007`.

    Where two patients or two rows could be meant, none is.
    """
    matching = match_names(ids, patients)
    alike = {plain_id(patient): patient for patient in patients}
    meant = {*ids} - {*matching.rows_without_case}
    named = {one: matching.aliases.get(one) or alike[one] for one in meant}
    return TableIds(patients=named, matching=matching)
