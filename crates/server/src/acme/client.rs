//! The library's way to ask, by ours.

use std::pin::Pin;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use crate::fetch::Fetcher;

pub(super) struct Client(pub(super) Fetcher);

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let fetcher = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(never) => match never {},
            };
            let answer = fetcher.send(Request::from_parts(parts, body)).await;
            answer.map(|answer| answer.map(Full::new).into()).map_err(|error| Error::Other(Box::new(error)))
        })
    }
}
