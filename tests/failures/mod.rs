//! What goes wrong on the other side, each with its defined answer; and the proxy goes on.

mod answers;
mod eyeballs;
mod floods;
mod frames;
mod goaway;
mod limbo;
mod ours;
mod parting;
mod resets;
mod resolver;
mod secrecy;
mod unused;
mod uploads;
mod upstreams;
