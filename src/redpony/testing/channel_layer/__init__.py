"""Channels' specification of a channel layer, as tests for any layer.

Subclass it and say how a layer is made; pytest collects the rest:

    class TestMyLayer(ChannelLayerSpecification):
        @pytest.fixture
        def make_layer(self):
            return lambda **config: MyLayer(hosts=[...], **config)

Layers that one test makes have to meet each other as two processes do, and nothing may be
there when it begins. `config` is what the specification names: `expiry`, `group_expiry`,
`capacity` and `channel_capacity`. Each test runs in event loops of its own.

`receives` tells how long to wait for a message that has to come (seconds): no test asserts
how fast it comes.
"""

from __future__ import annotations

from redpony.testing.channel_layer.channels import Channels
from redpony.testing.channel_layer.groups import Groups
from redpony.testing.channel_layer.limits import Limits
from redpony.testing.channel_layer.loops import Loops
from redpony.testing.channel_layer.messages import Messages

__all__ = ["ChannelLayerSpecification"]


class ChannelLayerSpecification(Messages, Channels, Limits, Groups, Loops):
    """What every channel layer has to do."""
