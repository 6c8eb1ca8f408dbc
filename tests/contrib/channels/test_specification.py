"""The specification of Channels, on every place."""

from redpony.testing.channel_layer import ChannelLayerSpecification


class TestRedisChannelLayer(ChannelLayerSpecification):
    pass
