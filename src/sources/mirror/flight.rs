//! Single flight: jobs that want the same of a remote ask it once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, WeakShared};

use super::store::{Held, Mirror, Mirrors};
use crate::ports::SourceError;
use crate::sources::address::Login;
use crate::sources::remote::Remote;

/// How long a question waits for others to share it: jobs that are admitted together get here nearly together.
const GATHER: Duration = Duration::from_millis(50);

type Answer = BoxFuture<'static, Result<Held, SourceError>>;

/// The questions about one mirror that are under way.
#[derive(Default)]
pub(super) struct Flights(Mutex<Vec<Flight>>);

/// A question to the remote. It is driven by those who wait for it, and ends, with its processes, when the last of them
/// gives up.
struct Flight {
    login: Option<Login>,
    /// Whether the remote was not asked yet. Its answer to an earlier question could be older than a job, which then would run
    /// what its branch was before.
    is_open: Arc<AtomicBool>,
    answer: WeakShared<Answer>,
}

impl Mirrors {
    /// Brings `mirror` up to date.
    pub(super) async fn ask(self: &Arc<Self>, mirror: &Arc<Mirror>, remote: &Remote) -> Result<Held, SourceError> {
        let answer = {
            let mut flights = mirror.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
            flights.retain(|flight| flight.is_open.load(Ordering::Acquire));
            let joined =
                flights.iter().filter(|flight| flight.login == remote.login).find_map(|flight| flight.answer.upgrade());
            joined.unwrap_or_else(|| {
                let is_open = Arc::new(AtomicBool::new(true));
                let fly = fly(Arc::clone(self), Arc::clone(mirror), remote.clone(), Arc::clone(&is_open));
                let answer = fly.boxed().shared();
                let weak = answer.downgrade().expect("it was not polled to its end");
                flights.push(Flight { login: remote.login.clone(), is_open, answer: weak });
                answer
            })
        };
        answer.await
    }
}

/// Asks the remote what it has, and fetches what is new.
async fn fly(
    mirrors: Arc<Mirrors>,
    mirror: Arc<Mirror>,
    remote: Remote,
    is_open: Arc<AtomicBool>,
) -> Result<Held, SourceError> {
    tokio::time::sleep(GATHER).await;
    let repository = mirrors.repository(&mirror, &remote);
    let mut listing = None;
    let guard = Arc::clone(&mirror.refs).read_owned().await;
    if repository.is_there() {
        is_open.store(false, Ordering::Release);
        listing = Some(repository.ask().await?);
        if repository.is_as(listing.as_ref().and_then(Option::as_ref)).await {
            repository.touch();
            return Ok(mirror.hold(guard));
        }
    }
    drop(guard);
    let guard = Arc::clone(&mirror.refs).write_owned().await;
    is_open.store(false, Ordering::Release);
    if repository.is_there() {
        let listing = match listing {
            Some(listing) => listing,
            None => repository.ask().await?,
        };
        repository.update(listing.as_ref()).await?;
    } else {
        repository.make().await?;
    }
    repository.touch();
    Ok(mirror.hold(guard.downgrade()))
}
