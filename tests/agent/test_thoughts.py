import pytest

from agent.brain.thoughts import ThoughtFilter, muses


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("用户在问天气", True),
        ("好的，用户让我写一首诗", True),
        ("嗯……用户刚才说", True),
        ("Okay, the user is asking for a poem", True),
        ("Hmm, the user's question", True),
        ("", None),
        ("好的，", None),
        ("Ok", None),
        ("好的，用", None),
        ("好的，没问题。", False),
        ("用户体验是指人在用产品时的感受", False),
        ("The user interface", False),
        ("Sure.", False),
        ("Some people", False),
        ("。" * 50, False),
    ],
)
def test_an_answer_that_talks_of_the_user_is_a_thought(head, expected):
    assert muses(head) is expected


@pytest.mark.parametrize(
    "pieces", [["好的，用户想知道什么是晴天。"], list("好的，用户想知道什么是晴天。"), list("好的。"), ["OK"]]
)
def test_what_looked_like_a_thought_and_was_the_answer_is_heard_in_the_end(pieces):
    thoughts = ThoughtFilter()
    said = "".join(map(thoughts.filter, pieces))
    assert said + thoughts.close(everything=not said) == "".join(pieces)
