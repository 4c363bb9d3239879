# SPDX-License-Identifier: GPL-2.0-or-later
"""`/reservations`: nodes lent for a time."""

from swarmstrap_server.api.route import Call, Route
from swarmstrap_server.rollouts.values import NewReservation, Reservation


async def list_reservations(call: Call) -> list[Reservation]:
    return call.services.reservations.lent.latest()


async def reserve(call: Call) -> Reservation:
    order = await call.body(NewReservation)
    call.services.publish()
    return call.services.reservations.reserve(order, call.principal.name)


async def end_reservation(call: Call) -> Reservation:
    return call.services.reservations.end(call.part("reservation"))


ROUTES = (
    Route(
        "GET",
        "/reservations",
        "viewer",
        "The last reservations, newest first",
        list_reservations,
        list[Reservation],
    ),
    Route(
        "POST",
        "/reservations",
        "operator",
        "Deploy nodes for a time, after which they return to their pool's image",
        reserve,
        Reservation,
        body=NewReservation,
        status=201,
        once=True,
    ),
    Route(
        "POST",
        "/reservations/{reservation}/end",
        "operator",
        "Return the nodes now",
        end_reservation,
        Reservation,
    ),
)
