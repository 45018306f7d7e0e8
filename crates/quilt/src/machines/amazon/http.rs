//! Requests to EC2's API: signed, sent, and tried again where that may help.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Query-Requests.html>

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials as Identity;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::answer::Answer;
use super::credentials::Credentials;
use crate::machines::ProviderError;

/// Version of the API.
const VERSION: &str = "2016-11-15";
/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// How often a request is tried.
const TRIES: u32 = 8;
/// The first pause between two tries; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// What passes by itself.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>
const PASSING: [&str; 8] = [
    "InternalError",
    "InternalFailure",
    "RequestLimitExceeded",
    "ServerInternal",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
    "Unavailable",
];

/// Names and values of a request.
pub(super) type Parameters = Vec<(String, String)>;

/// EC2's API in one region.
pub(super) struct Http {
    runtime: tokio::runtime::Runtime,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    credentials: Credentials,
    url: String,
    region: String,
}

/// Why one try failed.
enum Failure {
    /// It may go well the next time.
    Passing(ProviderError),
    Final(ProviderError),
}

impl Http {
    pub(super) fn new(credentials: Credentials, region: &str) -> Result<Http, ProviderError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let url = variable("AWS_ENDPOINT_URL_EC2")
            .or_else(|| variable("AWS_ENDPOINT_URL"))
            .unwrap_or_else(|| format!("https://ec2.{region}.amazonaws.com"));
        let unreachable = |reason: String| ProviderError::Unreachable { url: url.clone(), tries: 0, reason };
        let uri: http::Uri =
            url.parse().map_err(|error| unreachable(format!("it is no address ({error})")))?;
        if uri.host().is_none() || uri.scheme().is_none() {
            return Err(unreachable("it is no address of the form https://host".into()));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unreachable(error.to_string()))?;
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .map_err(|error| unreachable(format!("this machine trusts nobody: {error}")))?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Http { runtime, client, credentials, url, region: region.to_owned() })
    }

    /// Asks for something; what passes by itself is asked for again.
    pub(super) fn call(
        &self,
        action: &'static str,
        parameters: &[(String, String)],
    ) -> Result<Answer, ProviderError> {
        let mut pause = PAUSE;
        let mut tries = 1;
        loop {
            match self.runtime.block_on(self.once(action, parameters)) {
                Ok(text) => return Answer::read(action, text),
                Err(Failure::Passing(_)) if tries < TRIES => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(PAUSE_MAX);
                    tries += 1;
                }
                Err(Failure::Passing(ProviderError::Unreachable { url, reason, .. })) => {
                    return Err(ProviderError::Unreachable { url, tries, reason });
                }
                Err(Failure::Passing(error) | Failure::Final(error)) => return Err(error),
            }
        }
    }

    async fn once(&self, action: &'static str, parameters: &[(String, String)]) -> Result<String, Failure> {
        let passing = |reason: String| {
            Failure::Passing(ProviderError::Unreachable { url: self.url.clone(), tries: 1, reason })
        };
        let request = self.request(action, parameters).map_err(|reason| {
            Failure::Final(ProviderError::Unreachable { url: self.url.clone(), tries: 0, reason })
        })?;
        let answer = tokio::time::timeout(ANSWER_LIMIT, async {
            let answer = self.client.request(request).await.map_err(|error| passing(causes(&error)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| passing(error.to_string()))?.to_bytes();
            Ok::<_, Failure>((status, String::from_utf8_lossy(&body).into_owned()))
        });
        let late = || passing(format!("no answer within {} s", ANSWER_LIMIT.as_secs()));
        let (status, text) = answer.await.map_err(|_| late())??;
        if status.is_success() {
            return Ok(text);
        }
        let error = match Answer::refusal(&text) {
            Some((code, message)) => ProviderError::Refused { action, code, message },
            None => {
                let shown: String = text.chars().take(200).flat_map(char::escape_debug).collect();
                ProviderError::Answer { action, reason: format!("{status}, and '{shown}'") }
            }
        };
        let is_passing = status.is_server_error()
            || matches!(&error, ProviderError::Refused { code, .. } if PASSING.contains(&code.as_str()));
        // That there is no room is said with a status of the server's own failure, and does not pass in seconds.
        let is_full =
            matches!(&error, ProviderError::Refused { code, .. } if code.starts_with("Insufficient"));
        Err(if is_passing && !is_full { Failure::Passing(error) } else { Failure::Final(error) })
    }

    fn request(
        &self,
        action: &str,
        parameters: &[(String, String)],
    ) -> Result<http::Request<Full<Bytes>>, String> {
        let pairs = [("Action", action), ("Version", VERSION)].into_iter();
        let pairs = pairs.chain(parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let form: Vec<String> =
            pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let body = form.join("&");
        let url = format!("{}/", self.url.trim_end_matches('/'));
        let uri: http::Uri = url.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        let mut request = http::Request::post(uri)
            .header("host", &host)
            .header("content-type", form)
            .body(Full::new(Bytes::from(body.clone())))
            .map_err(|error| error.to_string())?;
        let Credentials { id, secret, session } = &self.credentials;
        let identity = Identity::new(id, secret, session.clone(), None, "weft").into();
        let signing = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("ec2")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let headers = [("host", host.as_str()), ("content-type", form)].into_iter();
        let signable = SignableRequest::new("POST", &url, headers, SignableBody::Bytes(body.as_bytes()))
            .map_err(|error| error.to_string())?;
        let (instructions, _) = sign(signable, &signing).map_err(|error| error.to_string())?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

/// As in the body of a form: what needs no encoding by RFC 3986, section 2.3, and a space as a plus sign, which is how
/// whoever checks a signature writes the form anew.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else if byte == b' ' {
            out.push('+');
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
