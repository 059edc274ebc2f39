//! From a key to the store that leads its region, over splits, merges, moves and elections: asks again
//! as long as nothing has happened, and says so when it does not know whether something has.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rand::seq::IndexedRandom;

use crate::server::{APPLY_WAIT, Context, ask_loop};
use crate::transport::{ask, connect};
use crate::wire::{Frame, Request, Response};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_millis(15);

/// What a request came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answer(Response),
    /// Nothing happened.
    Failed(String),
    /// It may have happened, or may still.
    Unknown(String),
}

/// One client connection's way to the leaders.
pub struct Router {
    pub context: Context,
    links: BTreeMap<u64, TcpStream>,
}

impl Router {
    pub fn new(context: Context) -> Router {
        Router {
            context,
            links: BTreeMap::new(),
        }
    }

    /// Carries a request to the region's leader.
    pub fn execute(&mut self, request: &Request) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        let mut to = self.guess(request);
        loop {
            let response = match to {
                store if store == self.context.id.0 => ask_loop(&self.context, request.clone()),
                store => self.forward(store, request),
            };
            let reason = match response {
                Response::NotLeader(leader) => {
                    let next = leader.filter(|leader| *leader != to);
                    to = next.unwrap_or_else(|| self.any_store());
                    "no leader".to_owned()
                }
                Response::Retry(reason) => {
                    to = self.guess(request);
                    reason
                }
                Response::Unknown(reason) => return Outcome::Unknown(reason),
                answer => return Outcome::Answer(answer),
            };
            if Instant::now() >= deadline {
                return Outcome::Failed(reason);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The store that leads the key's region, as far as this one knows.
    fn guess(&self, request: &Request) -> u64 {
        let region = self.context.engine.region_for(request.key());
        let leaders = self
            .context
            .shared
            .leaders
            .read()
            .expect("nothing panics while it holds the leaders");
        region
            .and_then(|status| leaders.get(&status.id).copied())
            .unwrap_or(self.context.id.0)
    }

    fn any_store(&self) -> u64 {
        let addresses = self
            .context
            .shared
            .addresses
            .read()
            .expect("nothing panics while it holds the addresses");
        let stores: Vec<u64> = addresses.keys().copied().collect();
        stores
            .choose(&mut rand::rng())
            .copied()
            .unwrap_or(self.context.id.0)
    }

    fn forward(&mut self, store: u64, request: &Request) -> Response {
        let link = match self.links.remove(&store) {
            Some(link) => Some(link),
            None => {
                let addresses = self
                    .context
                    .shared
                    .addresses
                    .read()
                    .expect("nothing panics while it holds the addresses");
                let address = addresses.get(&store).cloned();
                drop(addresses);
                address
                    .and_then(|address| connect(&address, APPLY_WAIT + Duration::from_secs(1)).ok())
            }
        };
        let Some(mut link) = link else {
            return Response::Retry("not reachable".into());
        };
        match ask(&mut link, &Frame::Request(request.clone())) {
            Ok(Frame::Response(response)) => {
                self.links.insert(store, link);
                response
            }
            // It was sent: whether it was carried out nobody can say.
            _ => match request {
                Request::Get { .. } | Request::Scan { .. } => Response::Retry("link broke".into()),
                Request::Set { .. } | Request::Delete { .. } => {
                    Response::Unknown("link broke".into())
                }
            },
        }
    }
}
