"""How plans, what is asked of them and approvals are written for operators. Pure."""

import time
from collections.abc import Iterator

from fedmq.messages.fields import Config, Study
from fedmq.node.approvals import Agreement, last_day
from fedmq.node.dependencies import dependencies_digest, describe_changes
from fedmq.node.plans import Asked
from fedmq.node.policy import Policy
from fedmq.node.terms import Dependencies, Terms

SHORT = 12
"""Digits of a digest that are shown where there is no room for all."""


def describe_asked(asked: Asked) -> Iterator[tuple[str, str]]:
    """Yield what somebody wants to run a plan for, in lines with a title."""
    yield "asked by", f"{asked.researcher} for {asked.experiment}"
    yield "signed by", asked.signed_by or "nobody: this federation has no keys"
    yield "purpose", asked.purpose
    yield "study", describe_study(asked.study)
    yield "dataset", asked.dataset or "-"
    if asked.dictionary:
        yield "dictionary", asked.dictionary
    yield "settings", describe_config(asked.config)
    yield "rounds", f"{asked.num_rounds}, each of at least {asked.quorum} nodes"
    if asked.updates:
        yield "travel", f"updates {asked.updates}, models {asked.models or 'exact'}"
    if asked.code:
        yield "waits for", asked.code


def describe_terms(terms: Terms) -> Iterator[tuple[str, str]]:
    """Yield what an approval says, in lines with a title."""
    limits = ", ".join(f"{key} {limit}" for key, limit in sorted(terms.limits.items()))
    packages = ", ".join(f"{name} {one}" for name, one in sorted(terms.dependencies.items()))
    yield "researcher", terms.researcher
    yield "study", describe_study(terms.study)
    yield "datasets", ", ".join(terms.datasets)
    yield "settings", (f"{limits}; " if limits else "") + "as the plan's own ranges allow"
    yield "rounds", "any number" if terms.max_rounds is None else f"at most {terms.max_rounds}"
    yield "until", terms.until
    yield "packages", f"{packages} ({dependencies_digest(terms.dependencies)[:SHORT]})"


def describe_persons(agreement: Agreement, needed: int) -> str:
    """Return who approved, and how many others have to."""
    words = ", ".join(agreement.persons)
    missing = needed - len(agreement.persons)
    if missing <= 0:
        return words
    persons = "1 more person has" if missing == 1 else f"{missing} more persons have"
    return f"{words}; {persons} to approve the same"


def describe_agreement(agreement: Agreement, policy: Policy, installed: Dependencies) -> str:
    """Return an approval in one line: for whom, until when, by whom, and what it lacks."""
    terms = agreement.terms
    day = last_day(agreement, policy)
    is_past = day < time.strftime("%Y-%m-%d")
    parts = [
        f"{terms.researcher} on {', '.join(terms.datasets)}",
        "no study" if terms.study is None else terms.study.protocol,
        f"{'ended' if is_past else 'until'} {day}",
        f"approved by {describe_persons(agreement, policy.approvals_needed)}",
    ]
    changes = describe_changes(terms.dependencies, installed)
    if changes:
        parts.append(f"holds no more: {changes}")
    return "; ".join(parts)


def describe_study(study: Study | None) -> str:
    """Return a study in one line."""
    if study is None:
        return "none"
    return f"{study.protocol}, vote {study.ethics}, ends {study.end}"


def describe_config(config: Config) -> str:
    """Return what an experiment sets of a plan's config."""
    return ", ".join(f"{key} = {value}" for key, value in sorted(config.items())) or "the plan's"
