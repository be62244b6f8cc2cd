"""C37: do rotary positions depend on distance alone, and reach beyond the rows of training?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source, by_level
from headstart.lab.house import ROW, decoder
from headstart.lab.rules import Every, Evidence, Exact, Gain, Same
from headstart.lab.runs import RunSpec

LONG = 4

CLAIM = Claim(
    id="C37",
    chapter="Llama",
    title="a rotary score depends on the distance only, and extends past the training length",
    statement="The score of a query and a key depends on how far apart they stand alone; rotary positions "
    "are better "
    "than learned ones, and go on working in texts longer than the rows of training.",
    quantity="change of a score when both move; nats of the same tokens in rows of 512 and cut to rows of "
    "128",
    lesson='"Naturally generalises to longer sequences" is not so: beyond the training length the loss '
    "rises, which is "
    "why Llama 3.1 stretches its rotations.",
    sources=(
        Source("Su et al. 2021", "arXiv 2104.09864, section 3.2", "the inner product depends on m - n alone"),
        Source(
            "Press et al. 2021 (ALiBi)",
            "arXiv 2108.12409, figure 1",
            "rotary soon gets worse past the length",
        ),
    ),
    confounders=(
        "A longer context should lower the loss: the same tokens in short rows are the control.",
        "Learned positions have no rows beyond 128, and cannot be asked.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=5, tokens=0.4e6),
    "full": Level(seeds=5, minutes=60, tokens=6e6, shape="S"),
}
RULE = Every(
    Exact("rotary.change under shifts", 1e-4),  # a float32 angle is 6e-5 off at place 1,064
    Gain("learned.nats - rotary.nats", 0.05, "nats"),
    Same("rotary.whole rows - rotary.cut rows", 0.02, "nats"),
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """The usual decoder, and one with learned positions."""
    return {"rotary": decoder(bench), "learned": decoder(bench, position="learned")}


def measure(bench: Bench) -> Numbers:
    """Loss within the length of training, and beyond it where that can be asked; units: documents."""
    import numpy as np

    from headstart.lab.measures.exactness import rotary_shift_deviation
    from headstart.lab.measures.losses import causal_by_document, causal_losses, heldout_rows, model_of

    tokens = bench.make(bench.tokens)
    numbers: dict[str, float | list[float]] = {"nats": causal_by_document(bench.run, heldout_rows(tokens))}
    if bench.arm == "learned":
        return numbers
    model, heldout = model_of(bench.run), heldout_rows(tokens, LONG * ROW, each=1)
    whole = causal_losses(model, heldout.ids)  # [N, 511]: the token at place p is at p - 1
    short = heldout.ids.reshape(-1, ROW)
    cut = np.full((len(heldout.ids), LONG, ROW), np.nan)
    cut[:, :, 1:] = causal_losses(model, short).reshape(-1, LONG, ROW - 1)
    cut = cut.reshape(len(heldout.ids), -1)[:, 1:]  # of the same places; a short row's first token has none
    cut[:, :ROW] = np.nan  # within the length of training both are the same
    asked = ~np.isnan(cut[0])
    rows = np.repeat(np.arange(len(whole)), asked.sum())
    numbers["whole rows"] = heldout.by_document(whole[:, asked].reshape(-1), rows)
    numbers["cut rows"] = heldout.by_document(cut[:, asked].reshape(-1), rows)
    place = np.arange(1, LONG * ROW) // ROW
    numbers["by quarter"] = [float(np.mean((whole - cut)[:, asked & (place == n)])) for n in range(1, LONG)]
    numbers["change under shifts"] = rotary_shift_deviation(32, (1, 7, 64, 1000), bench.seed)
    return numbers


def picture(evidence: Evidence) -> list[Figure]:
    """How much worse whole rows are, by quarter of the row."""
    quarters = [1.5 * ROW, 2.5 * ROW, 3.5 * ROW]
    series = by_level("rotary", quarters, evidence["rotary.by quarter"])
    return [
        Figure(
            "lines", "Nats of whole rows of 512 above those of the same tokens in rows of 128",
            "Trained on rows of 128; above zero: the longer context makes it worse.",
            "place in the row", "nats", series=[series],
        )
    ]  # fmt: skip
