import pytest

from agent.brain import demo as demo_brain
from agent.brain.greeting import opening
from agent.settings import Settings

REAL = ["brain.base_url=http://localhost:1/v1", "brain.model=any"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (REAL, "你好！我是人工智能语音助手。有什么可以帮你的吗？"),
        ([*REAL, "brain.greeting=您好，请讲。"], "您好，我是人工智能语音助手。请讲。"),
        (
            [*REAL, "brain.greeting=Hello there! How can I help?"],
            "Hello there! I am an AI voice assistant. How can I help?",
        ),
        ([*REAL, "brain.greeting=Hinton Dental, good day."], "I am an AI voice assistant. Hinton Dental, good day."),
        ([*REAL, "brain.greeting="], "我是人工智能语音助手。"),
        ([*REAL, "brain.greeting=你好，我是小智机器人。"], "你好，我是小智机器人。"),
        ([*REAL, "brain.greeting=Hi, your AI helper here."], "Hi, your AI helper here."),
        ([*REAL, "brain.greeting=Said and paid."], "I am an AI voice assistant. Said and paid."),
        (
            [*REAL, "brain.greeting=你好！", "brain.introduction=我是客服小助，一个程序。"],
            "你好！我是客服小助，一个程序。",
        ),
        ([*REAL, "brain.greeting=", "brain.introduction="], ""),
        (["brain.greeting=你好。"], "你好。"),
        ([], demo_brain.GREETING),
    ],
)
def test_a_real_brain_says_what_it_is_at_once(overrides, said):
    assert opening(Settings.load(overrides=overrides).brain) == said
    if overrides == REAL:
        phone = opening(Settings.load("phone", overrides=overrides).brain)
        assert phone == "你好，我是人工智能语音助手。请讲。"
