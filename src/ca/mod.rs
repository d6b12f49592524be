//! The local certificate authority: its root, the leaves it mints on demand, and how machines come to trust it.
