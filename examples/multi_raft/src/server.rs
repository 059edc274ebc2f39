//! What listens: other stores, the driver's orders, the nemesis, and clients that speak RESP. A thread a
//! connection; everything that changes something goes to the store's loop.

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use torrens::engine::Digested;
use torrens::{Engine, RegionId, StoreId};

use crate::router::Router;
use crate::store::{self, Input, Shared};
use crate::wire::{self, Frame, RegionRows, Response, WireDigest, WireRange, WireRegion};

/// How long an entry may take to be applied before its proposer gives up.
pub const APPLY_WAIT: Duration = Duration::from_secs(4);

/// What a connection needs.
#[derive(Clone)]
pub struct Context {
    pub id: StoreId,
    pub engine: Engine,
    pub shared: Arc<Shared>,
    pub inputs: Sender<Input>,
}

/// Serves other processes of the cluster.
pub fn serve_cluster(listener: TcpListener, context: Context) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let context = context.clone();
            std::thread::spawn(move || {
                // The other side went away, or sent what is no frame: either way that was it.
                let _ = serve_link(stream, &context);
            });
        }
    });
}

fn serve_link(mut stream: TcpStream, context: &Context) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let answer = match wire::receive(&mut stream)? {
            Frame::Envelope(envelope) => {
                send_in(context, Input::Message(envelope))?;
                continue;
            }
            Frame::Snapshot(envelope, head) => {
                // Nothing of the file is believed before all of it was verified.
                let mut rest = (&mut stream).take(head.bytes);
                match context.engine.receive_snapshot(head.name(), &mut rest) {
                    Ok(staged) => {
                        context.shared.counters.add("snapshot", "received");
                        // One that is staged already was not read.
                        io::copy(&mut rest, &mut io::sink())?;
                        send_in(context, Input::Snapshot(envelope, staged))?;
                        Frame::Ok
                    }
                    Err(error) => {
                        context
                            .shared
                            .counters
                            .add("snapshot-refused", error.code());
                        return Ok(());
                    }
                }
            }
            Frame::Request(request) => Frame::Response(ask_loop(context, request)),
            Frame::SetFaults(faults) => {
                *context
                    .shared
                    .faults
                    .lock()
                    .expect("nothing panics while it holds the faults") = faults;
                Frame::Ok
            }
            Frame::AskStatus => {
                Frame::Status(store::status(context.id, &context.engine, &context.shared))
            }
            Frame::AskDigests => Frame::Digests(digests(&context.engine)),
            Frame::AskLedRows => Frame::LedRows(led_rows(context)),
            Frame::Observe(name) => return crate::feed::serve(stream, context, &name),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        wire::send(&mut stream, &answer)?;
    }
}

fn send_in(context: &Context, input: Input) -> io::Result<()> {
    context
        .inputs
        .send(input)
        .map_err(|_| io::ErrorKind::BrokenPipe.into())
}

/// Gives a request to the loop and waits for what comes of it.
pub fn ask_loop(context: &Context, request: wire::Request) -> Response {
    let is_read = matches!(
        request,
        wire::Request::Get { .. } | wire::Request::Scan { .. }
    );
    let (reply, answer) = bounded(1);
    if context.inputs.send(Input::Client(request, reply)).is_err() {
        return Response::Retry("the store stops".into());
    }
    answer
        .recv_timeout(APPLY_WAIT)
        .unwrap_or_else(|_| match is_read {
            true => Response::Retry("took too long".into()),
            false => Response::Unknown("took too long".into()),
        })
}

fn digests(engine: &Engine) -> Vec<WireDigest> {
    let regions = engine
        .regions()
        .into_iter()
        .filter_map(|status| status.region);
    regions
        .filter_map(|region| match engine.digest(region.id, region.epoch) {
            Ok(Digested::Digest(digest)) => Some(WireDigest {
                region: WireRegion::from(&digest.region),
                index: digest.position.index,
                rows: digest.rows,
                hash: digest.hash,
            }),
            _ => None,
        })
        .collect()
}

/// Every row of every region that this store leads.
fn led_rows(context: &Context) -> Vec<RegionRows> {
    let beats = context
        .shared
        .beats
        .lock()
        .expect("nothing panics while it holds the beats")
        .clone();
    let rows_of = |beat: crate::wire::RegionBeat| {
        let region = RegionId(beat.region.id);
        let described = context.engine.region(region)?.region?;
        let view = context.engine.view(region, described.epoch).ok()?;
        let rows: Result<Vec<_>, _> = view
            .scan(..)
            .map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())))
            .collect();
        Some(RegionRows {
            region: region.0,
            range: WireRange::from(&described.range),
            rows: rows.ok()?,
        })
    };
    beats.into_iter().filter_map(rows_of).collect()
}

/// Serves clients.
pub fn serve_clients(listener: TcpListener, context: Context) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let router = Router::new(context.clone());
            std::thread::spawn(move || {
                let _ = crate::resp::serve(stream, router);
            });
        }
    });
}
