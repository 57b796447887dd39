//! Keeps what S3 says about the region of a bucket that was asked for in another one.
//!
//! S3 answers such a request with 301, without a place to go to, and names the region in a header, which the client of
//! the store would drop. The answer becomes an error whose body says it in S3's own form. Each try of a request passes
//! here, and is counted.

use async_trait::async_trait;
use causeway_spi::note_try;
use http::StatusCode;
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};

/// The header with the region of a bucket.
const REGION: &str = "x-amz-bucket-region";

/// Makes clients that keep the region.
#[derive(Debug, Default)]
pub(crate) struct RegionKeeper(ReqwestConnector);

#[derive(Debug)]
struct Service(HttpClient);

impl HttpConnector for RegionKeeper {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service(self.0.connect(options)?)))
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        note_try();
        let answer = self.0.execute(request).await?;
        if answer.status() != StatusCode::MOVED_PERMANENTLY {
            return Ok(answer);
        }
        let region = answer
            .headers()
            .get(REGION)
            .and_then(|region| region.to_str().ok());
        let region = region.map(|region| format!("<Region>{region}</Region>"));
        let body = format!(
            "<Error><Code>PermanentRedirect</Code>{}</Error>",
            region.unwrap_or_default()
        );
        let (mut parts, _) = answer.into_parts();
        parts.status = StatusCode::BAD_REQUEST;
        Ok(HttpResponse::from_parts(parts, body.into()))
    }
}
