"""Let noisy copies of each row vote, which no small change of the row can turn.

What it does
------------
For a declared L2 threat r (`require={"l2": r}`): trains again by the recipe on rows with Gaussian noise of s.d. σ = r,
in the rows' own units, and answers by the votes of 100 copies of a row with such noise (randomised smoothing). Without
a Recipe the model votes as it is. Where the first class does not outvote the second (exact test, α = .001) the row is
handed over. `certify` of the model, `uncork.models.smoothed.Smoothed`, gives a class and a radius within which no
change of the row turns it; with σ = r that reaches r where 84 % of the copies agree.

Why it helps
------------
Two rows that are near to one another get nearly the same noisy copies, so that the share of votes can't jump: a lead
among the votes is a distance that an attacker can't bridge, whatever the attack.

Control
-------
The recipe as it is, in one training from the same seeds; without a Recipe the model as it stands.

Safety
------
checked: the votes decide differently, cost errors on rows that nobody attacked, and take 100 times the time. Judged by
the attacked rows that stay right, on validation.

When it fails
-------------
The certificate is about the class that is likeliest under noise; each row's fails with probability .001 over the noise.
The noise of a row is drawn from a seed and the row itself, so that answers can be repeated: who knows the seed can look
for rows whose noise misleads. A model not trained on noise votes badly. In L∞ a radius r guarantees only r / √d in d
numbers, too little for images. A large threat drowns what tells the classes apart.

References
----------
Cohen, Rosenfeld & Kolter, Certified adversarial robustness via randomized smoothing, ICML 2019 (arXiv 1902.02918).
Lecuyer et al., Certified robustness to adversarial examples with differential privacy, IEEE S&P 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

from uncork.models.adapt import adapt, as_model
from uncork.models.smoothed import Smoothed
from uncork.remedies._contract import Case, Treated, refuse_undoing, remedy
from uncork.remedies._retrain import as_it_stands, retrained
from uncork.schema.errors import Unavailable
from uncork.schema.seeds import integer_seed
from uncork.schema.subject import Subject
from uncork.train.adversarial import Gaussian, Moved, check_moves
from uncork.train.recipe import Recipe


@dataclass(frozen=True)
class Voting:
    """Trains by the subject's recipe, which adds noise, and lets the model vote."""

    sigma: float

    def __call__(self, subject: Subject, seed: int) -> Smoothed:
        module = subject.recipe(subject.train, seed)
        inner = as_model(module, "classification", preprocess=subject.preprocess, features=subject.features)
        return Smoothed(inner, self.sigma, seed=integer_seed(seed, "smooth"))


def trains(subject: Subject) -> bool:
    return isinstance(subject.recipe, Recipe) and subject.train is not None


def price(subject: Subject, seeds: int) -> float:
    return 2.0 * seeds if trains(subject) else 0.0


def control(case: Case, treated: Treated) -> Treated:
    return retrained(case, "trained again as it is") if trains(case.subject) else as_it_stands(case, treated)


@remedy(
    title="Let noisy copies of each row vote",
    safety="checked",
    yardstick="finding",
    control=control,
    price=price,
    on_request=True,
)
def apply(case: Case) -> Treated:
    subject, sigma = case.subject, (case.subject.require or {}).get("l2")
    if sigma is None:
        raise Unavailable("votes over noise hold against an L2 threat: declare one, Subject(require={'l2': ...})")
    if case.task != "classification":
        raise Unavailable("a regression has no decision that an attack could turn")
    refuse_undoing(subject)
    sigma = float(sigma)
    votes = f"votes of 100 copies with Gaussian noise of s.d. {sigma:g}"
    if not trains(subject):
        model = adapt(subject, case.task)
        if not model.has_inputs:
            raise Unavailable("only predictions were given: noise is added to rows, which a model must read")
        return Treated(subject.replace(model=Smoothed(model, sigma, seed=case.seed)), f"{votes}, untrained on noise")
    moved = Moved(subject.recipe, Gaussian(sigma), subject.preprocess)
    check_moves(moved, subject.train)
    changes = f"trained on rows with that noise; {votes}"
    return Treated(subject.replace(recipe=moved), changes, Voting(sigma), compute=1.0)
