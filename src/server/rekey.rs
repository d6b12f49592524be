//! `[store] rotate`: a new key for the store, as often as it says.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio_util::sync::CancellationToken;

use super::{Error, build, reload::Reloader};
use crate::{
    config::{Config, Variables},
    store::{NewKey, Replacement},
};

/// How often the key's age is looked at.
const LOOK: Duration = Duration::from_secs(600);

/// Replaces the key whenever it is old enough, until the end.
pub(super) async fn rotate(reloader: Arc<Reloader>, end: CancellationToken) {
    let mut said = false;
    loop {
        let age = *reloader.rotate();
        if let Some(age) = age {
            let asked = Replacement {
                key: NewKey::Drawn,
                age: Some(age),
                now: SystemTime::now(),
            };
            match reloader.store.replace_key(asked).await {
                Ok(Some(records)) => {
                    said = false;
                    tracing::info!(records, "the store has a new key");
                }
                Ok(None) => {}
                Err(error) if !said => {
                    said = true;
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the store's key was not replaced");
                }
                Err(_) => {}
            }
        }
        let again = tokio::time::sleep(LOOK);
        if end.run_until_cancelled(again).await.is_none() {
            return;
        }
    }
}

/// Replaces the key of a store, whoever else has it open; returns how many records were sealed again.
pub async fn replace_key(
    config: &Config,
    variables: &Variables,
    key: NewKey,
) -> Result<usize, Error> {
    let store = build::store(config, variables)?;
    let asked = Replacement {
        key,
        age: None,
        now: SystemTime::now(),
    };
    let records = store.replace_key(asked).await.map_err(Error::Store)?;
    store.close().await.map_err(Error::Store)?;
    Ok(records.unwrap_or_default())
}
