//! Running it: who may use it, the admin side, reloads, stores, and what is refused at the start.

mod access;
mod admin;
mod limits;
mod rekey;
mod reload;
mod secured;
mod store;
