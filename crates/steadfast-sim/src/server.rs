//! Accepts connections and speaks HTTP/1.1 on them; owns every task that the simulator spawns.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::reception::Reception;
use crate::reply::Reply;
use crate::sent_body::{Disconnect, SentBody, end_without_answer};
use crate::socket::{Link, Socket};

/// How long answers may still be sent after the simulator was told to stop.
const GRACE: Duration = Duration::from_secs(1);

/// How long to wait when the operating system has no socket to spare.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Serves until the reception stops. If the future is dropped, all connections are dropped.
pub(crate) async fn serve(listener: TcpListener, reception: Arc<Reception>) {
    let stopping = reception.stopping().clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopping.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, Arc::clone(&reception)));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, finished).await.is_err() {
        connections.shutdown().await;
    }
}

async fn serve_connection(stream: TcpStream, reception: Arc<Reception>) {
    let link = Arc::new(Link::default());
    let stopping = reception.stopping().clone();
    let service = {
        let (link, stopping) = (Arc::clone(&link), stopping.clone());
        service_fn(move |request| {
            respond(
                request,
                Arc::clone(&reception),
                Arc::clone(&link),
                stopping.clone(),
            )
        })
    };
    let socket = TokioIo::new(Socket::new(stream, link));
    let connection = http1::Builder::new().serve_connection(socket, service);
    let mut connection = std::pin::pin!(connection);
    // A connection fails when its client goes away or when a fault ends it. Both are none of the
    // server's business, so the results are dropped.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

async fn respond(
    request: Request<Incoming>,
    reception: Arc<Reception>,
    link: Arc<Link>,
    stopping: CancellationToken,
) -> Result<Response<SentBody>, Disconnect> {
    let (head, body) = request.into_parts();
    let arrival = reception.arrive(&head);
    let largest = arrival.wire.dialect().largest_body();
    let decision = match read(&head, body, largest).await {
        Ok(body) => reception.decide(arrival, &head, &body),
        Err(Unread::TooLarge) => reception.too_large(arrival),
        Err(Unread::Gone) => return Err(Disconnect),
    };
    let Reply {
        head: answer,
        actions,
        ending,
    } = reception.conclude(arrival, head, decision);
    let Some((status, headers)) = answer else {
        return match end_without_answer(ending, &link, &stopping).await {
            Err(disconnect) => Err(disconnect),
        };
    };
    let mut response = Response::new(SentBody::new(actions, ending, link, stopping));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Why a request's body could not be read.
enum Unread {
    TooLarge,
    Gone,
}

async fn read(head: &Parts, body: Incoming, largest: usize) -> Result<Bytes, Unread> {
    let announced = head.headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > largest as u64) {
        return Err(Unread::TooLarge);
    }
    match Limited::new(body, largest).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Unread::TooLarge),
        Err(_) => Err(Unread::Gone),
    }
}
