"""A sale of the last seats, and the tickets that were sold in it.

A real shop would let its database refuse a second ticket for a seat, by a unique
constraint. There is none here, on purpose: it stands for whatever cannot refuse by
itself, such as another company's API, a file, or a printer of tickets.
"""

from __future__ import annotations

from django.db import models

from departures.models import Flight


class Sale(models.Model):
    flight = models.ForeignKey(Flight, models.CASCADE)
    way = models.CharField(max_length=8, help_text="how buyers keep each other out")
    fence = models.BigIntegerField(default=0, help_text="the largest one seen")
    stopped_at = models.CharField(
        max_length=3, default="", help_text="the seat whose buyer is stopped"
    )

    def __str__(self) -> str:
        return f"{self.flight} ({self.way})"


class Ticket(models.Model):
    sale = models.ForeignKey(Sale, models.CASCADE, related_name="tickets")
    seat = models.CharField(max_length=3)
    buyer = models.PositiveSmallIntegerField()

    def __str__(self) -> str:
        return f"{self.seat} for buyer {self.buyer}"
