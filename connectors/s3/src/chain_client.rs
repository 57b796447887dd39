//! The HTTP client of the credential chain.
//!
//! Token services (STS) are reached through the proxies that the environment names (`HTTPS_PROXY`, `NO_PROXY`); metadata
//! services stand on the machine's own link and are never asked through one: a proxy would answer for its own machine.

use std::net::{IpAddr, Ipv6Addr};

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
    http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// The client, without open connections: it is used once an hour.
pub(crate) fn chain_client() -> SharedHttpClient {
    http_client_fn(|settings, components| {
        SharedHttpConnector::new(ByHost {
            settings: settings.clone(),
            components: components.clone(),
        })
    })
}

/// Decides by a request's host whether it may go through a proxy.
#[derive(Debug)]
struct ByHost {
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl HttpConnector for ByHost {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let proxy = if is_own_link(request.uri()) {
            ProxyConfig::disabled()
        } else {
            ProxyConfig::from_env()
        };
        let mut builder = Connector::builder()
            .connector_settings(self.settings.clone())
            .proxy_config(proxy);
        builder.set_sleep_impl(self.components.sleep_impl());
        builder
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build()
            .call(request)
    }
}

/// Whether the host is this machine or an address that only its own link knows.
fn is_own_link(uri: &str) -> bool {
    let Ok(url) = url::Url::parse(uri) else {
        return false;
    };
    let address = match url.host() {
        Some(url::Host::Ipv4(address)) => IpAddr::V4(address),
        Some(url::Host::Ipv6(address)) => IpAddr::V6(address),
        Some(url::Host::Domain(name)) => return name == "localhost",
        None => return false,
    };
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || is_metadata(address),
    }
}

/// Link-local addresses, and those of AWS's metadata services: fd00:ec2::/32.
fn is_metadata(address: Ipv6Addr) -> bool {
    address.is_unicast_link_local() || address.segments()[..2] == [0xfd00, 0x0ec2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_services_are_asked_without_proxy() {
        for own in [
            "http://169.254.169.254/latest/api/token",
            "http://169.254.170.2/v2/credentials",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::254]/latest/api/token",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://127.0.0.1:1338/latest",
            "http://localhost/creds",
        ] {
            assert!(is_own_link(own), "{own}");
        }
        for far in [
            "https://sts.eu-central-1.amazonaws.com/",
            "https://10.0.0.1/",
            "http://[fd00:1::1]/",
            "/",
        ] {
            assert!(!is_own_link(far), "{far}");
        }
    }
}
