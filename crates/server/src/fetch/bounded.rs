//! Connections on which nobody can say more than an answer has, whatever it is: the heads of `1xx` answers, of which there may be
//! as many as somebody likes, count in no other bound.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_service::Service;

/// Makes connections that are bounded.
#[derive(Debug, Clone)]
pub(super) struct Connector<C> {
    inner: C,
    most: usize,
}

/// A connection. Whoever asks on it has the bound anew.
#[derive(Debug)]
pub(super) struct Stream<S> {
    inner: S,
    most: usize,
    /// Bytes that came since something was asked.
    came: usize,
}

/// More came than an answer has.
#[derive(Debug, Clone, Copy, Error)]
#[error("more came than an answer has")]
pub(super) struct TooMuch;

impl<C> Connector<C> {
    /// Answers may have `most` bytes, their heads and those of the ones before them included.
    pub(super) fn new(inner: C, most: usize) -> Self {
        Self { inner, most }
    }
}

type Connecting<S, E> = Pin<Box<dyn Future<Output = Result<TokioIo<Stream<TokioIo<S>>>, E>> + Send>>;

impl<C: Service<Uri>> Service<Uri> for Connector<C>
where
    C::Future: Send + 'static,
{
    type Response = TokioIo<Stream<TokioIo<C::Response>>>;
    type Error = C::Error;
    type Future = Connecting<C::Response, C::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, most) = (self.inner.call(uri), self.most);
        Box::pin(async move {
            let inner = TokioIo::new(connecting.await?);
            Ok(TokioIo::new(Stream { inner, most, came: 0 }))
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.came > self.most {
            return Poll::Ready(Err(io::Error::other(TooMuch)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        self.came += buffer.filled().len() - before;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.came = 0;
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<S: Connection> Connection for Stream<S> {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn bound_is_of_what_comes_after_each_question() {
        let (inner, mut other) = duplex(100);
        let mut stream = Stream { inner, most: 10, came: 0 };
        let mut bytes = [0; 10];
        for _ in 0..3 {
            stream.write_all(b"?").await.expect("asked");
            other.write_all(&[b'x'; 10]).await.expect("answered");
            stream.read_exact(&mut bytes).await.expect("no more than an answer has");
        }
        other.write_all(b"xx").await.expect("answered");
        assert_eq!(stream.read(&mut bytes).await.expect("what is there already"), 2);
        let error = stream.read(&mut bytes).await.expect_err("more");
        assert!(error.get_ref().is_some_and(|inner| inner.is::<TooMuch>()));
    }
}
