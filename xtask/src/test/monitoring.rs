//! Alerts and dashboards of the chart: that they are well made, that each alert fires and is explained, and that a real
//! Prometheus, which reads a real proxy, has data for each expression.
//!
//! [`chart`] renders them; [`rules`] and [`dashboards`] look at them alone, [`live`] runs the proxies.

mod chart;
mod client;
mod clients;
mod cluster;
mod dashboards;
mod expression;
mod justified;
mod live;
mod load;
mod questions;
mod rules;
mod runbook;
mod unit_tests;

use std::process::Command;

use anyhow::{Context, Result};

use super::report::Outcome;
use crate::workspace::Workspace;
use crate::{command, prometheus};
use chart::{Chart, Release};

/// Of the release that tests are about; they name its pods.
pub(super) const NAMESPACE: &str = "holysheep-proxy";

/// Below the target directory.
const SCRATCH: &str = "xtask/monitoring";

pub(super) fn run(workspace: &Workspace) -> Result<Outcome> {
    let chart = Chart::render(workspace, &Release::STANDARD)?;
    let mut outcome = Outcome::default();
    outcome.check("rules are well made", &rules::lint(&chart));
    for release in &Release::ALL {
        let name = format!("promtool takes the rules of {}", release.title());
        let chart = Chart::render(workspace, release)?;
        outcome.check(&name, &rules::check(workspace, &chart)?);
    }
    outcome.check(
        "each alert is tested to fire, and not to",
        &unit_tests::coverage(workspace, &chart)?,
    );
    unit_tests::run(workspace, &mut outcome)?;
    outcome.check(
        "docs/operations.md has each alert, and no other",
        &runbook::check(workspace, &chart)?,
    );
    outcome.check("dashboards are well made", &dashboards::lint(&chart));
    outcome.check(
        "promtool takes the dashboards' expressions",
        &dashboards::check(workspace, &chart)?,
    );
    outcome.check(
        "each metric of docs/metrics.md is on a dashboard",
        &dashboards::coverage(workspace, &chart)?,
    );
    live::run(workspace, &chart, &mut outcome)?;
    Ok(outcome)
}

/// What promtool says, and whether it is content.
fn promtool(workspace: &Workspace, arguments: &mut Command) -> Result<(bool, String)> {
    let mut promtool = Command::new(prometheus::program(workspace, "promtool")?);
    promtool.args(arguments.get_args());
    let line = command::shown(&promtool);
    let output = promtool
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok((output.status.success(), text))
}
