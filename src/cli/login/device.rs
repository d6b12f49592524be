//! By a code that is typed in on any device (RFC 8628).

use super::{Wishes, browser, failed};
use crate::{
    cli::{
        error::Error,
        output::{self, Paint},
    },
    rule::Recipe,
    session::{Material, refresh::SignIn},
};

/// Signs in; the recipe has an endpoint for it.
pub(in crate::cli) async fn by_device(
    sign_in: &SignIn,
    recipe: &Recipe,
    wishes: Wishes<'_>,
) -> Result<Material, Error> {
    let Some(device) = sign_in.device().await else {
        return Err(Error::asked("there is no endpoint for device codes"));
    };
    let device = device.map_err(|error| failed(error, recipe))?;
    output::note(format_args!(
        "Open this address on any device, and type in the code {}:\n\n    {}\n",
        Paint::Bold(&device.user_code),
        device.verification_uri
    ));
    if let Some(complete) = &device.verification_uri_complete {
        output::note(format_args!(
            "or this one, where it stands already:\n\n    {complete}\n"
        ));
    }
    if wishes.open {
        // Without the code: whoever reads it in the list of processes could be faster.
        browser::open(&device.verification_uri, wishes.sources);
    }
    let progress = output::progress("waiting for you to sign in there");
    let material = sign_in.wait(&device).await;
    progress.finish_and_clear();
    material.map_err(|error| failed(error, recipe))
}
