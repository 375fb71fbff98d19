"""Edits of a user's file: the smallest ones, in many habits of writing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from chainrule.diagnosis import repair, repair_batches, repair_loss, repair_order
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.causes import data, graph, losses, optimization, regularization, signal
from chainrule.diagnosis.places import Place
from chainrule.diagnosis.replaying.messages import BASELINE, Outcome, ReplayJob
from chainrule.diagnosis.replaying.scout import Scouted
from chainrule.diagnosis.source import Source, applied, diff, read_source
from chainrule.diagnosis.symptoms import Record


@pytest.fixture
def file(tmp_path: Path):
    def make(text: str) -> str:
        path = tmp_path / "train.py"
        path.write_text(text)
        read_source.cache_clear()
        return str(path)

    return make


@pytest.mark.parametrize(
    ("text", "line", "wanted"),
    [
        ("opt = SGD(p, lr=1e-5)\n", 1, "opt = SGD(p, lr=0.001)\n"),
        ("opt = SGD(p, 0.5)\n", 1, "opt = SGD(p, 50.0)\n"),
        ("LR = 1e-5\nopt = SGD(p, lr=LR)\n", 2, "LR = 0.001\nopt = SGD(p, lr=LR)\n"),
        (
            "a.add_argument('--lr', type=float, default=1e-4)\nopt = Adam(p, lr=args.lr)\n", 2,
            "a.add_argument('--lr', type=float, default=0.01)\nopt = Adam(p, lr=args.lr)\n",
        ),
        (
            "c = {'lr': 0.2, 'n': 3}\nopt = Adam(p, lr=c['lr'])\n", 2,
            "c = {'lr': 20.0, 'n': 3}\nopt = Adam(p, lr=c['lr'])\n",
        ),
        (
            "@dataclass\nclass C:\n    lr: float = 1e-3\nopt = Adam(p, lr=c.lr)\n", 4,
            "@dataclass\nclass C:\n    lr: float = 0.1\nopt = Adam(p, lr=c.lr)\n",
        ),
        (
            "def fit(p, lr=0.1):\n    return SGD(p, lr=lr)\n", 2,
            "def fit(p, lr=10.0):\n    return SGD(p, lr=lr)\n",
        ),
        (
            "opt = SGD(\n    p,\n    lr=1e-5,\n    momentum=0.9,\n)\n", 1,
            "opt = SGD(\n    p,\n    lr=0.001,\n    momentum=0.9,\n)\n",
        ),
    ],
)  # fmt: skip
def test_a_number_is_changed_where_it_is_written_down(file, text, line, wanted) -> None:
    path = file(text)
    edits = repair.set_argument(Place(path, line), "lr", lambda old: old * 100, 1)
    assert applied(text, edits) == wanted


def test_a_default_is_written_out(file) -> None:
    path = file("opt = Adam(p)\n")
    edits = repair.set_argument(Place(path, 1), "lr", lambda old: old * 10, 1, 1e-3)
    assert applied("opt = Adam(p)\n", edits) == "opt = Adam(p, lr=0.01)\n"


def test_two_settings_of_a_name_are_left_alone(file) -> None:
    path = file("lr = 0.1\nlr = 0.2\nopt = SGD(p, lr=lr)\n")
    assert repair.set_argument(Place(path, 3), "lr", lambda old: old * 10, 1) == ()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("y = F.softmax(x, dim=1)\n", "y = x\n"),
        ("y = x.softmax(1)\n", "y = x\n"),
        ("n = nn.Sequential(nn.Linear(2, 2), nn.Softmax(dim=1))\n",
         "n = nn.Sequential(nn.Linear(2, 2))\n"),
        ("layers = [nn.Linear(2, 2), nn.Softmax(1)]\n", "layers = [nn.Linear(2, 2)]\n"),
        ("self.out = nn.Softmax(dim=1)\n", "self.out = nn.Identity()\n"),
    ],
)  # fmt: skip
def test_a_function_is_dropped(file, text: str, wanted: str) -> None:
    source = Source(file(text), text)
    node = source.calls("softmax", "Softmax")[0]
    assert applied(text, repair._dropped(source, node)) == wanted


def test_lines_of_their_own_keep_the_indentation() -> None:
    text = "for x in y:\n    loss.backward()\n    step()\n"
    source = Source("a.py", text)
    statement = source.statement(source.calls("backward")[0])
    assert statement is not None
    assert applied(text, [source.before(statement, "zero()")]) == (
        "for x in y:\n    zero()\n    loss.backward()\n    step()\n"
    )
    assert applied(text, [source.after(statement, "clip()")]) == (
        "for x in y:\n    loss.backward()\n    clip()\n    step()\n"
    )
    assert applied(text, [repair.remove_statement(source, statement)]) == (
        "for x in y:\n    step()\n"
    )


def test_a_block_that_is_left_empty_passes() -> None:
    text = "for x in y:\n    normal_(x)\n    zeros_(x)\nfor x in y:\n    normal_(x)\n    keep(x)\n"
    source = Source("a.py", text)
    statements = [source.statement(node) for node in source.calls("normal_", "zeros_")]
    found = repair.remove_statements(source, [item for item in statements if item is not None])
    assert applied(text, found) == "for x in y:\n    pass\nfor x in y:\n    keep(x)\n"


def test_names_with_accents_count_in_bytes() -> None:
    text = "größe = 3; opt = SGD(p, lr=0.1)\n"
    source = Source("a.py", text)
    literal = source.literal(source.calls("SGD")[0].keywords[0].value)
    assert literal is not None
    assert applied(text, [source.replace(literal, "1.0")]) == "größe = 3; opt = SGD(p, lr=1.0)\n"


def test_a_diff_can_be_read_by_patch() -> None:
    found = diff("train.py", "a = 1\nb = 2\n", "a = 1\nb = 3\n")
    assert found.splitlines()[:2] == ["--- a/train.py", "+++ b/train.py"]
    assert "-b = 2" in found
    assert "+b = 3" in found


@pytest.mark.parametrize(
    "text",
    [
        "net.fit(X, y)\n",  # a framework makes the optimizer: the second argument is no rate
        "trainer.train()\n",
        "net.fit(X, 5)\n",
        "opt = make(net, rate)\n",
    ],
)
def test_what_is_no_rate_is_left_alone(file, text: str) -> None:
    place = Place(file(text), 1)
    assert repair.set_argument(place, "lr", lambda old: old / 10, 1, 3.0, "SGD") == ()


def test_the_rate_of_a_framework_is_changed_where_it_is_given(file) -> None:
    text = "RATE = 3.0\nnet = Classifier(f, lr=RATE, momentum=3.0)\nnet.fit(X, y)\n"
    edits = repair.set_keyword(case_of(file(text)), ("lr",), lambda old: old / 10, 3.0)
    assert applied(text, edits) == text.replace("RATE = 3.0", "RATE = 0.3")
    assert repair.set_keyword(case_of(file(text)), ("lr",), lambda old: old, 0.1) == ()
    two = text + "other = Classifier(f, lr=3.0)\n"
    assert repair.set_keyword(case_of(file(two)), ("lr",), lambda old: old / 10, 3.0) == ()


def case_of(file: str) -> Case:
    case = Case(Record(), (), Scouted(0, 0.0, False), Outcome(ReplayJob(0, BASELINE), 0))
    case.script = file
    return case


def test_evaluation_mode_is_set_before_the_whole_evaluation() -> None:
    text = (
        "for e in range(3):\n    loss.backward()\n    with torch.no_grad():\n"
        "        for x, y in loader:\n            hits += net(x)\n"
    )
    source = Source("train.py", text)
    statement = source.statement_at(5)
    assert statement is not None
    assert regularization._whole_evaluation(source, statement).lineno == 3


def weaker_noise(case: Case):
    drawn = regularization._drawn(case)
    return regularization._weaker(*drawn) if drawn else ()


def test_noise_of_training_is_told_from_that_of_making_data(file) -> None:
    text = (
        "def signals(n):\n    for i in range(n):\n        s.append(np.random.randn(3))\n"
        "class Set:\n    def __getitem__(self, i):\n        return x[i] + 2 * np.random.randn(3)\n"
    )
    drawn = regularization._drawn(case_of(file(text)))
    assert drawn is not None
    assert drawn[1].lineno == 6
    assert regularization._drawn(case_of(file("x = torch.randn(3)\n"))) is None


@pytest.mark.parametrize(
    ("edit", "text", "wanted"),
    [
        (data._standardized, "x = torch.tensor(a)\n",
         "x = torch.tensor(a)\nx = (x - x.mean(0)) / (x.std(0) + 1e-6)\n"),
        (repair_batches.endless, "for i in range(3):\n    a, b = next(iter(loader))\n",
         "import itertools\nminibatches = itertools.chain.from_iterable(itertools.repeat(loader))\n"
         "for i in range(3):\n    a, b = next(minibatches)\n"),
        (repair_batches.endless, "a, b = next(iter(loader))\n", "a, b = next(iter(loader))\n"),
        (lambda case: data._weighted(case, (0.9, 0.1)), "loss = nn.CrossEntropyLoss()\n",
         "loss = nn.CrossEntropyLoss(weight=torch.tensor([0.556, 5.0]))\n"),
        (lambda case: data._weighted(case, (0.9, 0.1)),
         "l = F.binary_cross_entropy_with_logits(s, t)\n",
         "l = F.binary_cross_entropy_with_logits(s, t, pos_weight=torch.tensor(8.993))\n"),
        (lambda case: data._weighted(case, (0.9, 0.1)), "loss = nn.CrossEntropyLoss(weight=w)\n",
         "loss = nn.CrossEntropyLoss(weight=w)\n"),
        (repair.zero_grad, "for x in y:\n    l.backward()\n    opt.step()\n",
         "for x in y:\n    opt.zero_grad()\n    l.backward()\n    opt.step()\n"),
        (repair.leaky, "a = nn.ReLU()\nb = F.relu(x)\nc = torch.relu(x)\n",
         "a = nn.LeakyReLU(0.1)\nb = F.leaky_relu(x, 0.1)\n"
         "c = torch.nn.functional.leaky_relu(x, 0.1)\n"),
        (repair_loss.without_minus, "loss = -F.cross_entropy(a, b)\n",
         "loss = F.cross_entropy(a, b)\n"),
        (repair_loss.without_minus, "loss = f(a)\nloss.backward()\n",
         "loss = f(a)\n(-loss).backward()\n"),
        (losses._smaller_penalty, "l = l + 0.5 * sum(p.pow(2).sum() for p in net.parameters())\n",
         "l = l + 1e-05 * sum(p.pow(2).sum() for p in net.parameters())\n"),
        (lambda case: optimization._more_epochs(case, 5),
         "for e in range(1, N + 1):\n    for x in d:\n        l.backward()\nN = 7\n",
         "for e in range(1, N + 1):\n    for x in d:\n        l.backward()\nN = 35\n"),
        (regularization._mode_of_dropout, "y = F.dropout(x, 0.5)\n",
         "y = F.dropout(x, 0.5, training=self.training)\n"),
        (lambda case: signal._insert_relu(case, ["fc1", "fc2"]),
         "x = self.fc3(self.fc2(self.fc1(x)))\n",
         "x = self.fc3(self.fc2(self.fc1(x).relu()).relu())\n"),
        (lambda case: signal._insert_relu(case, ["0"]),
         "net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))\n",
         "net = nn.Sequential(nn.Linear(2, 3), torch.nn.ReLU(), nn.Linear(3, 1))\n"),
        (signal._unsquashed, "c = {'activation': nn.Sigmoid}\n", "c = {'activation': nn.ReLU}\n"),
        (signal._unsquashed, "from torch.nn import Tanh\nlayer = Tanh()\n",
         "from torch.nn import Tanh\nlayer = torch.nn.ReLU()\n"),
        (repair_order.one_order, "x = x[torch.randperm(n)]\ny = y[torch.randperm(n)]\n",
         "order = torch.randperm(n)\nx = x[order]\ny = y[order]\n"),
        (repair_order.one_order, "rng.shuffle(x)\nrng.shuffle(y)\n",
         "order = rng.permutation(len(x))\nx[:] = x[order]\ny[:] = y[order]\n"),
        (repair_order.one_order, "x = x[p]\nfor e in z:\n    i = torch.randperm(n)\n",
         "x = x[p]\nfor e in z:\n    i = torch.randperm(n)\n"),
        (signal._no_offset, "nn.init.constant_(layer.bias, 9.0)\n",
         "nn.init.constant_(layer.bias, 0.0)\n"),
        (weaker_noise,
         "s = 6.0\nfor x in d:\n    l = f(x + s * torch.randn(3))\n    l.backward()\n",
         "s = 0.3\nfor x in d:\n    l = f(x + s * torch.randn(3))\n    l.backward()\n"),
        (graph._data_in_forward, "def forward(self, i):\n    return self.u.weight.data[i]\n",
         "def forward(self, i):\n    return self.u.weight[i]\n"),
        (graph._data_in_forward, "def reset(self):\n    self.u.weight.data.zero_()\n",
         "def reset(self):\n    self.u.weight.data.zero_()\n"),
        (signal._no_offset, "nn.init.constant_(layer.bias, prior)\n",
         "nn.init.constant_(layer.bias, 0.0)\n"),
        (signal._no_offset, "nn.init.constant_(layer.bias, 0.1)\n",
         "nn.init.constant_(layer.bias, 0.1)\n"),
        (regularization._dropout_edit, "d = nn.Dropout(p=0.95)\n", "d = nn.Dropout(p=0.2)\n"),
    ],
)  # fmt: skip
def test_edits_of_causes(file, edit, text: str, wanted: str) -> None:
    assert applied(text, edit(case_of(file(text)))) == wanted


def loss_of(name: str, line: int) -> property:
    """What a case knows of the loss call on a line."""
    return property(
        lambda self: SimpleNamespace(function=name, place=Place(self.script, line, "main"))
    )


def test_another_loss_with_what_it_asks_for(file, monkeypatch) -> None:
    text = (
        "net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))\n"
        "criterion = nn.MSELoss()\n"
        "loss = criterion(net(x), y.float())\n"
    )
    case = case_of(file(text))
    monkeypatch.setattr(Case, "loss", loss_of("mse_loss", 3))
    assert repair_loss.made(case) == Place(case.script, 2)
    assert applied(text, repair_loss.scores_of_classes(case, 3)) == (
        "net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))\n"
        "criterion = nn.CrossEntropyLoss()\n"
        "loss = criterion(net(x), y.float().long().reshape(-1))\n"
    )
    monkeypatch.setattr(Case, "loss", loss_of("l1_loss", 3))
    assert repair_loss.made(case) is None
    squeezed = text.replace("net(x)", "net(x).squeeze(1)")
    case = case_of(file(squeezed))
    monkeypatch.setattr(Case, "loss", loss_of("mse_loss", 3))
    assert repair_loss.scores_of_classes(case, 3) == ()


def test_labels_are_given_the_order_of_the_inputs(file, monkeypatch) -> None:
    loop = "for i in torch.randperm(n).split(9):\n    loss = f(net(x[i]), y[i])\n"
    text = f"order = torch.randperm(n)\nx = x[order]\n{loop}"
    case = case_of(file(text))
    assert repair_order.shuffles(case) == Place(case.script, 1)
    assert repair_order.one_order(case) == ()  # what is compared is not known
    monkeypatch.setattr(Case, "loss", loss_of("cross_entropy", 4))
    assert applied(text, repair_order.one_order(case)) == (
        f"order = torch.randperm(n)\nx = x[order]\ny = y[order]\n{loop}"
    )
    both = text.replace("x = x[order]", "x = x[order]\ny = y[order]")
    assert repair_order.one_order(case_of(file(both))) == ()
