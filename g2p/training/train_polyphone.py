"""Make `g2p/data/polyphone.onnx` and report what it scores.

The LSTM has the weights of g2pM (Apache-2.0; Park and Lee, Interspeech 2020), which were trained on the training split
of CPP. What is trained here is a small network that weighs its probabilities against what dictionary words say. Its
parameters are shared by all characters: with 16 examples a character, parameters of a character's own learn its label
noise (97.0 % instead of 98.0 %), and training the LSTM further on these examples gains nothing either.

Run: `python -m g2p.training.train_polyphone SENTENCES LABELS` (CPP's `.sent` and `.lb` files; needs torch, onnx and
g2pM). Prints five-fold cross-validation first, then trains on everything and writes the file; minutes on one core.
"""

from __future__ import annotations

import argparse
import pickle
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g2p.polyphones.dictionary import dictionary
from g2p.polyphones.polyphone import FEATURES, MAX_CANDIDATES, _covering, features

FOLDS, EPOCHS, COMMITTEE = 5, 12, 5
OUTPUT = Path(__file__).parent.parent / "data" / "polyphone.onnx"


@dataclass
class Example:
    """One judged character."""

    text: str
    position: int
    label: int
    ids: Tensor
    classes: Tensor
    words: Tensor


class Polyphone(nn.Module):
    """Characters and word evidence to a score for each candidate."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        super().__init__()
        vocabulary, width = weights["embedding.weight"].shape
        hidden = weights["lstm.weight_hh_l0"].shape[1]
        classes, inner = weights["logit_layer.2.weight"].shape
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, hidden, bidirectional=True, batch_first=True)
        self.logit_layer = nn.Sequential(nn.Linear(2 * hidden, inner), nn.ReLU(), nn.Linear(inner, classes))
        self.load_state_dict(
            {name: torch.tensor(np.asarray(value), dtype=torch.float32) for name, value in weights.items()}
        )
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        self.weigh = nn.ModuleList(
            nn.Sequential(nn.Linear(FEATURES + 2, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))
            for _ in range(COMMITTEE)
        )

    def forward(self, text: Tensor, asked: Tensor, classes: Tensor, words: Tensor) -> Tensor:
        """Scores, [n, candidates]: the mean of the committee.

        Args:
            text: Character ids, [1, t].
            asked: Positions, [n].
            classes: Class of each candidate, -1: none, [n, candidates].
            words: Word evidence, [n, candidates, features].
        """
        log_p = self.log_probabilities(self.lstm(self.embedding(text))[0][0, asked], classes)
        return torch.stack([self.judge(member, log_p, words) for member in self.weigh]).mean(0)

    def log_probabilities(self, state: Tensor, classes: Tensor) -> Tensor:
        """The LSTM's opinion of each candidate, [n, candidates], from its state at their characters, [n, 2 hidden]."""
        absent = classes < 0
        logits = self.logit_layer(state).gather(1, classes.clamp(min=0)).masked_fill(absent, -1e4)
        return torch.log_softmax(logits, 1).clamp(min=-12).masked_fill(absent, -1e4)

    @staticmethod
    def judge(member: nn.Module, log_p: Tensor, words: Tensor) -> Tensor:
        """One committee member's scores."""
        evidence = torch.cat([words, log_p.clamp(min=-12)[..., None], log_p.exp()[..., None]], 2)
        return log_p + member(evidence)[..., 0]


class Teacher:
    """g2pM's weights, alphabet and classes."""

    def __init__(self) -> None:
        import g2pM

        folder = Path(g2pM.__file__).parent
        self.weights = pickle.loads((folder / "np_ckpt.pkl").read_bytes())
        self.alphabet: dict[str, int] = pickle.loads((folder / "char2idx.pkl").read_bytes())
        classes = pickle.loads((folder / "class2idx.pkl").read_bytes())
        self.classes = {{"r5": "er5"}.get(name, name.replace("u:", "v")): i for name, i in classes.items()}

    def ids(self, text: str) -> Tensor:
        """Character ids with begin (시) and end (끝), [t + 2]."""
        return torch.tensor([self.alphabet.get(c, self.alphabet["<UNK>"]) for c in f"시{text}끝"])


def load(sentences: Path, labels: Path, teacher: Teacher) -> list[Example]:
    """Read CPP's two files."""
    known = dictionary()
    examples = []
    for marked, label in zip(sentences.read_text().splitlines(), labels.read_text().splitlines(), strict=True):
        position = marked.index("▁")
        text = known.simplify(marked.replace("▁", ""))
        candidates = known.candidates(text[position])[:MAX_CANDIDATES]
        found = known.find(text)
        table = features(known, text, [position], _covering(len(text), found), known.segment(text, found))
        classes = [teacher.classes.get(c, -1) for c in candidates] + [-1] * (MAX_CANDIDATES - len(candidates))
        wanted = {"r5": "er5"}.get(label.strip(), label.strip().replace("u:", "v"))
        examples.append(
            Example(
                text, position, candidates.index(wanted) if wanted in candidates else -1,
                teacher.ids(text), torch.tensor(classes), torch.tensor(table[0]),
            )
        )  # fmt: skip
    return examples


def opinions(model: Polyphone, examples: list[Example]) -> Tensor:
    """What the LSTM thinks of every example, [n, candidates]; it is frozen, so once is enough."""
    with torch.no_grad():
        return torch.cat(
            [
                model.log_probabilities(
                    model.lstm(model.embedding(e.ids[None]))[0][0, e.position + 1][None], e.classes[None]
                )
                for e in examples
            ]
        )


def train(teacher: Teacher, log_p: Tensor, examples: list[Example]) -> Polyphone:
    """A model whose committee has learnt from the examples."""
    model = Polyphone(teacher.weights)
    words, labels = torch.stack([e.words for e in examples]), torch.tensor([e.label for e in examples])
    usable = (labels >= 0).nonzero()[:, 0]
    for seed, member in enumerate(model.weigh):
        torch.manual_seed(seed)
        for layer in member.children():
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()
        optimiser = torch.optim.AdamW(member.parameters(), lr=2e-3, weight_decay=1e-2)
        steps = EPOCHS * (len(usable) // 64 + 1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step, steps=steps: max(0.0, 1 - step / steps))  # type: ignore[misc]
        for _ in range(EPOCHS):
            for chunk in usable[torch.randperm(len(usable))].split(64):
                loss = F.cross_entropy(model.judge(member, log_p[chunk], words[chunk]), labels[chunk])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
    return model.eval()


def cross_validate(teacher: Teacher, log_p: Tensor, examples: list[Example]) -> None:
    """Print accuracy of each fold and the characters most often wrong."""
    order = np.random.default_rng(1).permutation(len(examples))
    wrong: Counter[str] = Counter()
    scores = []
    for fold in range(FOLDS):
        held, rest = order[fold::FOLDS], np.array([i for k, i in enumerate(order) if k % FOLDS != fold])
        model = train(teacher, log_p[rest], [examples[i] for i in rest])
        with torch.no_grad():
            words = torch.stack([examples[i].words for i in held])
            chosen = torch.stack([model.judge(member, log_p[held], words) for member in model.weigh]).mean(0).argmax(1)
        misses = [examples[i] for i, k in zip(held, chosen, strict=True) if k != examples[i].label]
        wrong.update(e.text[e.position] for e in misses)
        scores.append(1 - len(misses) / len(held))
        alone = np.mean([int(log_p[i].argmax()) == examples[i].label for i in held])
        print(f"fold {fold}: {scores[-1]:.2%} (LSTM alone {alone:.2%})", flush=True)
    print(f"mean {np.mean(scores):.2%}; most errors:", " ".join(f"{c}{n}" for c, n in wrong.most_common(40)))


def export(model: Polyphone, teacher: Teacher) -> None:
    """Write the ONNX file with its alphabet and classes as metadata."""
    import onnx

    example = (
        torch.ones(1, 9, dtype=torch.long), torch.arange(3), torch.zeros(3, MAX_CANDIDATES, dtype=torch.long),
        torch.zeros(3, MAX_CANDIDATES, FEATURES),
    )  # fmt: skip
    torch.onnx.export(
        model, example, str(OUTPUT), input_names=["text", "asked", "classes", "words"], output_names=["scores"],
        dynamic_axes={"text": {1: "t"}, "asked": {0: "n"}, "classes": {0: "n"}, "words": {0: "n"}, "scores": {0: "n"}},
        dynamo=False, opset_version=17,
    )  # fmt: skip
    network = onnx.load(OUTPUT)
    by_id = sorted(teacher.alphabet, key=teacher.alphabet.__getitem__)
    meta = {
        "alphabet": "\t".join(by_id),
        "classes": " ".join(sorted(teacher.classes, key=teacher.classes.__getitem__)),
        "unknown begin end": " ".join(str(teacher.alphabet[mark]) for mark in ("<UNK>", "시", "끝")),
        "origin": "LSTM weights of g2pM 0.1.2.5 (Apache-2.0); see g2p/training/train_polyphone.py",
    }
    for key, value in meta.items():
        network.metadata_props.add(key=key, value=value)
    onnx.save(network, OUTPUT)


def main() -> None:
    """Cross-validate, train, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sentences", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--no-validation", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    teacher = Teacher()
    examples = load(arguments.sentences, arguments.labels, teacher)
    print(len(examples), "examples,", sum(e.label < 0 for e in examples), "labels outside the candidates", flush=True)
    log_p = opinions(Polyphone(teacher.weights).eval(), examples)
    if not arguments.no_validation:
        cross_validate(teacher, log_p, examples)
    export(train(teacher, log_p, examples), teacher)


if __name__ == "__main__":
    main()
