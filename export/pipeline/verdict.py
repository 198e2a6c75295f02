"""Whether artifacts lie near enough to their parents, and how that is said."""

from msgspec import structs

from export.core.figures.fidelity import Comparison, accept
from export.core.records import Artifact, Verification
from export.pipeline.formats import Format
from export.pipeline.stage import Outcome


def accepted(outcome: Outcome, format: Format) -> Verification | None:
    """Return the worst comparison of a stage; raises `VerificationError` for one beyond its bound."""
    found = [accept(comparison, format.bounds_db[comparison.edge]) for comparison in outcome.comparisons]
    return min(found, key=lambda one: float("inf") if one.sqnr_db is None else one.sqnr_db, default=None)


def held_to_bound(artifact: Artifact, format: Format) -> Artifact:
    """Return a stored artifact held to today's bound, which is no part of its key; raises `VerificationError`."""
    kept = artifact.verification
    if kept is None:
        return artifact
    comparison = Comparison(
        edge=kept.edge,
        parent=kept.parent,
        subject=f"{artifact.model}: {artifact.format} {artifact.recipe}",
        n=kept.n,
        max_abs_diff=kept.max_abs_diff,
        sqnr_db=kept.sqnr_db,
        top1_agreement=kept.top1_agreement,
    )
    return structs.replace(artifact, verification=accept(comparison, format.bounds_db[kept.edge]))


def agreement(verification: Verification | None) -> str:
    """Say how near an artifact lies to its parent."""
    if verification is None:
        return ""
    distance = "equal bit for bit" if verification.sqnr_db is None else f"{verification.sqnr_db:.1f} dB"
    return f", {distance} from its parent (largest difference {verification.max_abs_diff:.2g})"
