//! What kube-state-metrics would tell of the pods: a fixed text, served on loopback.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result};

use super::NAMESPACE;

/// Serves until this process ends.
pub(super) fn serve(pods: &[&str]) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    let address = listener.local_addr()?;
    let text = exposition(pods);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Prometheus will ask again.
            let _ = answer(stream, &text);
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream, text: &str) -> std::io::Result<()> {
    let request = BufReader::new(stream.try_clone()?);
    let head = request.lines().map_while(Result::ok);
    head.take_while(|line| !line.is_empty()).for_each(drop);
    let length = text.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}"
    )
}

/// The names are those of kube-state-metrics 2.
fn exposition(pods: &[&str]) -> String {
    let mut lines = Vec::new();
    let mut add = |name: &str, labels: &str, value: u32| {
        lines.push(format!(
            "{name}{{namespace=\"{NAMESPACE}\",{labels}}} {value}\n"
        ));
    };
    for pod in pods {
        let labels = format!("pod=\"{pod}\",container=\"proxy\",uid=\"0\"");
        add("kube_pod_container_status_restarts_total", &labels, 0);
    }
    let hpa = format!("horizontalpodautoscaler=\"{NAMESPACE}-hpa\"");
    add(
        "kube_horizontalpodautoscaler_status_current_replicas",
        &hpa,
        2,
    );
    add(
        "kube_horizontalpodautoscaler_status_desired_replicas",
        &hpa,
        2,
    );
    add("kube_horizontalpodautoscaler_spec_max_replicas", &hpa, 10);
    let deployment = format!("deployment=\"{NAMESPACE}\"");
    add("kube_deployment_spec_replicas", &deployment, 2);
    add("kube_deployment_status_replicas_available", &deployment, 2);
    let daemonset = format!("daemonset=\"{NAMESPACE}-node\"");
    add(
        "kube_daemonset_status_desired_number_scheduled",
        &daemonset,
        1,
    );
    add("kube_daemonset_status_number_available", &daemonset, 1);
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::super::client;
    use super::*;

    #[test]
    fn it_answers_like_a_target() {
        let address = serve(&["pod-1"]).unwrap();
        let answer = client::exchange(address, "GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.contains("pod=\"pod-1\""), "{answer}");
    }
}
