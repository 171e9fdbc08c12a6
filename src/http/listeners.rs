//! Which listeners there are: from the start, and after each reload.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::guard::Guard;
use super::listen::{BindError, Bound, Passed, bind_one};
use crate::config::{ListenAddress, Listener, Server, Trust};

/// How many exchanges may wait; they come one at a time.
const EXCHANGES: usize = 1;

/// The listeners of a running daemon, as a reload sees them.
#[derive(Debug)]
pub struct Listening {
    /// Addresses of the sockets that the service manager passed.
    passed: Vec<ListenAddress>,
    /// Addresses that are listened on, but for the administration socket's.
    bound: Mutex<Vec<ListenAddress>>,
    exchanges: mpsc::Sender<Exchange>,
}

/// Listeners that are bound, and those that a reload will bring: what [`serve`](super::serve) answers on.
#[derive(Debug)]
pub struct Listeners {
    pub(super) bound: Vec<Bound>,
    pub(super) exchanges: mpsc::Receiver<Exchange>,
}

impl Listeners {
    /// The addresses that they really have: a port is known here where 0 was configured.
    pub fn addresses(&self) -> impl Iterator<Item = &ListenAddress> {
        self.bound.iter().map(Bound::address)
    }
}

/// Other listeners, ready to take the place of those that there are; dropping it changes nothing.
#[derive(Debug)]
pub struct Exchange {
    /// All that there shall be, but for the administration socket.
    pub(super) wanted: Vec<Listener>,
    /// Those of them that were not there.
    pub(super) opened: Vec<Bound>,
    /// What lets their requests through.
    pub(super) guard: Arc<Guard>,
}

/// Binds every configured listener and the administration socket, or takes the passed socket of its address. Where no
/// listener is configured the passed sockets are the listeners.
///
/// # Errors
/// [`BindError`], with the address and what to do about it; nothing stays bound then.
pub fn bind(server: &Server, mut passed: Passed) -> Result<(Listening, Listeners), BindError> {
    let addresses = passed.addresses();
    let wanted = wanted(server, &addresses)?;
    let admin = server.admin_socket.as_ref().map(|path| Listener {
        address: ListenAddress::Unix(path.clone()),
        trust: Trust::Operator,
        trusted_proxies: Vec::new(),
        trusts_unix: false,
        is_insecure: false,
    });
    let bound = wanted.iter().chain(&admin).map(|listener| bind_one(listener, &mut passed));
    let bound = bound.collect::<Result<_, _>>()?;
    let (sender, exchanges) = mpsc::channel(EXCHANGES);
    let wanted = wanted.into_iter().map(|listener| listener.address).collect();
    let listening = Listening { passed: addresses, bound: Mutex::new(wanted), exchanges: sender };
    Ok((listening, Listeners { bound, exchanges }))
}

impl Listening {
    /// Binds what `server` wants beside what is bound already.
    ///
    /// # Errors
    /// [`BindError`]; everything is as before then.
    pub fn prepare(&self, server: &Server) -> Result<Exchange, BindError> {
        let wanted = wanted(server, &self.passed)?;
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut opened = Vec::new();
        for listener in &wanted {
            if let Some(known) = bound.iter().position(|address| *address == listener.address) {
                bound.swap_remove(known);
            } else {
                opened.push(bind_one(listener, &mut Passed::default())?);
            }
        }
        Ok(Exchange { wanted, opened, guard: Arc::new(Guard::new(server)) })
    }

    /// Lets prepared listeners take the place of those that there are: what is new answers, what is no longer wanted is
    /// closed, and its connections are treated as at a stop.
    pub async fn exchange(&self, exchange: Exchange) {
        let wanted = exchange.wanted.iter().map(|listener| listener.address.clone()).collect();
        *self.bound.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
        // Nobody hears it once the stop has begun: then it does not matter.
        drop(self.exchanges.send(exchange).await);
    }
}

/// The listeners that there shall be, where the sockets of these addresses were `passed`.
fn wanted(server: &Server, passed: &[ListenAddress]) -> Result<Vec<Listener>, BindError> {
    let is_admin = |address: &ListenAddress| match address {
        ListenAddress::Unix(path) => server.admin_socket.as_ref() == Some(path),
        ListenAddress::Tcp(_) => false,
    };
    let passed: Vec<&ListenAddress> = passed.iter().filter(|address| !is_admin(address)).collect();
    if server.listeners_by_default && !passed.is_empty() {
        return passed.into_iter().map(anonymous).collect();
    }
    let is_wanted = |address: &ListenAddress| server.listeners.iter().any(|listener| listener.address == *address);
    let left: Vec<String> = passed.iter().filter(|address| !is_wanted(address)).map(ToString::to_string).collect();
    if left.is_empty() { Ok(server.listeners.clone()) } else { Err(BindError::Unmatched(left.join(", "))) }
}

/// The listener of a passed socket that no configuration speaks of.
fn anonymous(address: &ListenAddress) -> Result<Listener, BindError> {
    match address {
        ListenAddress::Tcp(address) if !address.ip().to_canonical().is_loopback() => Err(BindError::Exposed(*address)),
        ListenAddress::Tcp(_) | ListenAddress::Unix(_) => Ok(Listener {
            address: address.clone(),
            trust: Trust::Anonymous,
            trusted_proxies: Vec::new(),
            trusts_unix: false,
            is_insecure: false,
        }),
    }
}

#[cfg(all(test, feature = "test-support"))]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    use super::super::listen::Socket;
    use super::*;
    use crate::config::testing;

    fn server(dir: &Path, addresses: &[&ListenAddress]) -> Server {
        let mut server = testing::config_in(dir).server;
        server.listeners = addresses
            .iter()
            .map(|address| Listener {
                address: (*address).clone(),
                trust: Trust::Anonymous,
                trusted_proxies: Vec::new(),
                trusts_unix: false,
                is_insecure: false,
            })
            .collect();
        server
    }

    fn passed_tcp() -> (ListenAddress, Socket) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        (ListenAddress::Tcp(listener.local_addr().expect("an address")), Socket::Tcp(listener))
    }

    #[test]
    fn a_passed_socket_is_used_instead_of_binding() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("s");
        let tcp = passed_tcp();
        let unix = ListenAddress::Unix(path.clone());
        let listener = UnixListener::bind(&path).expect("bound");
        let config = server(dir.path(), &[&unix, &tcp.0]);
        // Binding either of them again would fail.
        let bound = bind(&config, Passed(vec![tcp, (unix, Socket::Unix(listener))])).expect("both were passed");
        assert_eq!(bound.1.bound.len(), 2);
        drop(bound);
        assert!(path.exists(), "the file belongs to whoever passed the socket");
    }

    #[test]
    fn a_passed_socket_that_nobody_asks_for_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (tcp, other) = (passed_tcp(), passed_tcp());
        let (config, name) = (server(dir.path(), &[&tcp.0]), other.0.to_string());
        let error = bind(&config, Passed(vec![tcp, other])).expect_err("one too many");
        assert!(matches!(error, BindError::Unmatched(_)) && error.to_string().contains(&name), "{error}");
    }
}
