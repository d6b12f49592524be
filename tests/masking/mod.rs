//! Values in bodies: put there for the client, and kept from it.

mod answers;
mod bench;
mod bodies;
mod standins;
mod supabase_js;
mod tools;
