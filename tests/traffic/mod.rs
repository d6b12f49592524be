//! The shape of traffic: both HTTP versions on both legs, bodies as they are, upgrades, tunnels, and the drain.

mod bodies;
mod codings;
mod drain;
mod early;
mod egress;
mod events;
mod expect;
mod figures;
mod goodbye;
mod heads;
mod inject;
mod names;
mod nowhere;
mod pieces;
mod pressure;
mod restarts;
mod socks;
mod tunnel;
mod upgrade;
mod websocket;
