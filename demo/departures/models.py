"""Real airports and a simulated timetable of one week that repeats for ever.

A flight leaves every week at the same `minute`, counted in UTC from Monday 00:00.
So the database that is filled once is right at any later time.
"""

from __future__ import annotations

from django.db import models

MINUTES_A_WEEK = 7 * 24 * 60


class Country(models.Model):
    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=60)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Airport(models.Model):
    icao = models.CharField(max_length=4, unique=True)
    iata = models.CharField(max_length=3, db_index=True)
    name = models.CharField(max_length=80)
    city = models.CharField(max_length=60)
    country = models.ForeignKey(Country, models.CASCADE)
    latitude = models.FloatField()
    longitude = models.FloatField()
    elevation = models.IntegerField(help_text="feet above the sea")
    timezone = models.CharField(max_length=40)

    def __str__(self) -> str:
        return f"{self.iata or self.icao} {self.name}"


class Airline(models.Model):
    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=40)

    def __str__(self) -> str:
        return self.name


class Flight(models.Model):
    airline = models.ForeignKey(Airline, models.CASCADE, db_index=False)
    number = models.PositiveSmallIntegerField()
    origin = models.ForeignKey(
        Airport, models.CASCADE, related_name="departures", db_index=False
    )
    destination = models.ForeignKey(
        Airport, models.CASCADE, related_name="arrivals", db_index=False
    )
    minute = models.PositiveSmallIntegerField(help_text="of the week, in UTC")
    duration = models.PositiveSmallIntegerField(help_text="minutes")
    distance = models.PositiveSmallIntegerField(help_text="kilometres")
    gate = models.CharField(max_length=4)
    delay = models.PositiveSmallIntegerField(help_text="minutes")

    class Meta:
        indexes = [
            models.Index("minute", name="flight_by_minute"),
            models.Index("origin", "minute", name="flight_by_origin"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(minute__lt=MINUTES_A_WEEK), name="within_a_week"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.airline_id} {self.number}"
