"""What a failover costs an application, and what it loses; for Sentinel and Cluster.

Everybody who is measured is a process of its own, so that nobody waits for another
one's interpreter. All clocks are the machine's monotonic one, the same for all.
"""
