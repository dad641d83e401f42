//! `holysheep-bench soak`: everything at once for a long time, and whether anything has grown at the end.
//!
//! Two proxies ([`proxy`]) stand in front of the same upstreams ([`site`]). All kinds of clients ([`kind`], [`traffic`]) ask
//! them, upstreams fail ([`fault`]), and operators change and replace things ([`operator`], [`replace`]): the first proxy stays the same
//! process for the whole run, the second is replaced again and again. [`sample`] and [`scrape`] look at them every few
//! seconds, [`flat`] says of a series whether it has grown, [`verdict`] what all that comes to, [`table`] and [`plot`] show it.
//!
//! A run: a load that warms everything up, rest, the load, rest, and the end. What is held at rest is compared with the rest
//! before; what is held under load is judged over the second half of it.

mod client;
mod fault;
mod flat;
mod kind;
mod operator;
mod outcome;
mod plot;
mod proxy;
mod replace;
mod sample;
mod scrape;
mod settings;
mod site;
mod table;
mod traffic;
mod verdict;

use std::cell::Cell;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::cgroup::Cgroup;
use crate::facts::Facts;
use crate::peer::product;
use crate::report;
use kind::CLIENTS;
use operator::Floor;
use proxy::{Line, Program};
use site::Site;
use table::Report;
use traffic::Traffic;

/// The line that stays, and the one that is replaced.
pub(super) const NAMES: [&str; 2] = ["resident", "replaced"];
/// A run shorter than this has too few samples to judge a trend by.
const SHORTEST: f64 = 1.0;
/// Requests of clients that are under way when the load ends may take so long.
const FINISH: Duration = Duration::from_secs(40);
/// Until all connections of clients are gone, and those to upstream that were opened for a load.
const SETTLE: Duration = Duration::from_secs(25);
/// Looks at a proxy at rest, and the time between them.
const LOOKS: usize = 6;
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Options of the subcommand.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long the load lasts; a tenth of it, at most a minute, comes before it to warm up.
    #[arg(long, default_value_t = 30.0, value_name = "N")]
    minutes: f64,
    /// Requests a second, both proxies together.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..=2000))]
    rate: u32,
    /// Seconds from one replacement of the second proxy to the next [default: a twelfth of the load, 20 to 180].
    #[arg(long, value_name = "SECONDS")]
    replace_every: Option<u64>,
    /// The proxy's program [default: the dist build, else the release build].
    #[arg(long, value_name = "PATH")]
    proxy_bin: Option<PathBuf>,
    /// Without kernel programs, even where they could be loaded.
    #[arg(long)]
    no_ebpf: bool,
    /// Write everything to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The plot.
    #[arg(long, value_name = "FILE", default_value = "target/soak.svg")]
    plot: PathBuf,
}

/// How a load ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    InTime,
    Interrupted,
}

/// Runs it, prints its report, and says by the exit code whether all is well. The first Ctrl-C ends the load early.
///
/// # Errors
/// When the upstreams or the proxies do not start.
pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    ensure!(
        options.minutes >= SHORTEST && options.minutes <= 7.0 * 24.0 * 60.0,
        "--minutes is between {SHORTEST} and a week"
    );
    let cgroup = Cgroup::create();
    let ebpf = kernel_programs(&options, cgroup.as_ref());
    let program = Program {
        binary: options.proxy_bin.as_deref(),
        cgroup: cgroup.as_ref(),
        ebpf: if ebpf.is_ok() { "required" } else { "off" },
    };
    let (mut plain, version) = product(program.binary, None, "")?;
    let site = Site::start(&mut plain)?;
    let mut lines = Vec::new();
    for (number, name) in NAMES.into_iter().enumerate() {
        lines.push(Line::new(number, name, site.settings(name)?, &program)?);
    }
    let lines = <[Line<'_>; 2]>::try_from(lines).ok().context("two lines")?;
    let mut facts = Facts::gather(None);
    facts.versions.push(version);
    let floor = Floor::new(site, lines);
    floor.start().await.context("the proxies do not start")?;
    let report = soak(&options, &floor, facts, ebpf.err()).await?;
    report.print();
    plot::write(&options.plot, &report)?;
    report::progress(&format!("plot: {}", options.plot.display()));
    if let Some(path) = &options.json {
        report::write_json(path, &report)?;
    }
    Ok(match report.is_well() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Whether kernel programs are to be loaded; why not, if not.
fn kernel_programs(options: &Options, cgroup: Option<&Cgroup>) -> Result<(), String> {
    if options.no_ebpf {
        return Err("--no-ebpf".to_owned());
    }
    if cgroup.is_none() {
        return Err("no cgroup can be made (root is needed)".to_owned());
    }
    match sample::census() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "the kernel does not tell its BPF objects: {error:#}"
        )),
    }
}

/// The phases, one after the other.
async fn soak(
    options: &Options,
    floor: &Floor<'_>,
    facts: Facts,
    no_ebpf: Option<String>,
) -> Result<Report> {
    if let Some(reason) = &no_ebpf {
        report::progress(&format!("WITHOUT KERNEL PROGRAMS: {reason}"));
    }
    let length = Duration::from_secs_f64(60.0 * options.minutes);
    let warm_up = (length / 10).clamp(Duration::from_secs(10), Duration::from_secs(60));
    let replace_every = match options.replace_every {
        Some(seconds) => Duration::from_secs(seconds.max(5)),
        None => (length / 12).clamp(Duration::from_secs(20), Duration::from_secs(180)),
    };
    report::progress(&format!(
        "warming up for {} s, then {} minutes; Ctrl-C ends the load and gives a verdict",
        warm_up.as_secs(),
        options.minutes
    ));
    let mut end = load(options, floor, warm_up, None).await?;
    let before = rest(floor).await?;
    let mut window = [floor.now_s(); 2];
    if end == End::InTime {
        end = load(options, floor, length, Some(replace_every)).await?;
    }
    window[1] = floor.now_s();
    let after = rest(floor).await?;
    floor.site.borrow_mut().audit();
    let upstream_in_flight = floor.site.borrow().in_flight();
    for line in 0..NAMES.len() {
        // A process that ended by itself has been noted already.
        let _ = floor.stop(line).await;
    }
    let left = verdict::objects_left(floor, no_ebpf.is_none()).await?;
    Ok(Report::make(
        floor,
        facts,
        table::Course {
            minutes: options.minutes,
            rate: options.rate,
            replace_every_s: replace_every.as_secs_f64(),
            no_ebpf,
            is_interrupted: end == End::Interrupted,
            window_s: window,
            rest: [before, after],
            upstream_in_flight,
            objects_left: left,
        },
    ))
}

/// Clients ask, and everything goes on, for so long; processes are replaced only if it is said how often.
async fn load(
    options: &Options,
    floor: &Floor<'_>,
    length: Duration,
    replace_every: Option<Duration>,
) -> Result<End> {
    let is_over = Rc::new(Cell::new(false));
    let mut clients = start_clients(options, floor, &is_over)?;
    let every = (length / 600).clamp(Duration::from_secs(1), Duration::from_secs(10));
    let last = Instant::now() + length;
    // Nothing is begun that could not be over in time.
    let replace_every = replace_every.unwrap_or(2 * length);
    let mut replace = pin!(floor.replace(1, replace_every, last));
    let end = tokio::select! {
        () = sleep(length) => End::InTime,
        _ = tokio::signal::ctrl_c() => End::Interrupted,
        () = floor.watch(every) => End::InTime,
        () = floor.reload(0) => End::InTime,
        () = floor.reload(1) => End::InTime,
        () = floor.certify(0) => End::InTime,
        () = floor.certify(1) => End::InTime,
        () = floor.events() => End::InTime,
        () = &mut replace => End::InTime,
        () = progress(floor, length) => End::InTime,
    };
    // What was begun before Ctrl-C is brought to its end.
    while floor.is_replacing() {
        tokio::select! {
            () = &mut replace => {}
            () = sleep(LOOK_EVERY) => {}
        }
    }
    floor.all_is_well()?;
    is_over.set(true);
    let finish = timeout(FINISH, async {
        while clients.join_next().await.is_some() {}
    });
    if finish.await.is_err() {
        let late = format!("{} clients still wait for answers", clients.len());
        floor.problems.borrow_mut().push(late);
    }
    Ok(end)
}

fn start_clients(
    options: &Options,
    floor: &Floor<'_>,
    is_over: &Rc<Cell<bool>>,
) -> Result<JoinSet<()>> {
    let mut clients = JoinSet::new();
    let authority = floor.site.borrow().authority.clone();
    for line in &floor.lines {
        let per_proxy = f64::from(options.rate) / NAMES.len() as f64;
        let traffic = Rc::new(Traffic {
            line: line.number,
            port: line.port,
            tls_port: line.settings.tls_port,
            trust: [
                authority.client_config(&["http/1.1"])?,
                authority.client_config(&["h2"])?,
            ],
            keys: floor.site.borrow().keys.clone(),
            pause: Duration::from_secs_f64(CLIENTS.len() as f64 / per_proxy),
            book: Rc::clone(&floor.book),
            numbers: Rc::clone(&floor.numbers),
            is_over: Rc::clone(is_over),
        });
        for (number, kind) in CLIENTS.into_iter().enumerate() {
            let seed = (1 + line.number * CLIENTS.len() + number) as u64;
            clients.spawn_local(Rc::clone(&traffic).client(kind, seed));
        }
    }
    Ok(clients)
}

/// A line now and then.
async fn progress(floor: &Floor<'_>, length: Duration) {
    let every = (length / 20).clamp(Duration::from_secs(10), Duration::from_secs(60));
    let begun = Instant::now();
    loop {
        sleep(every).await;
        let book = floor.book.borrow();
        let samples = floor.samples.borrow();
        let last = samples.iter().rev().find(|sample| sample.line == 0);
        let held = last.map(|sample| sample.held.clone()).unwrap_or_default();
        report::progress(&format!(
            "{:>5.0} of {:.0} s: {} requests, {} unexpected; {}: {:.1} MiB, {:.0} descriptors, {:.0} threads, {:.0} BPF objects",
            begun.elapsed().as_secs_f64(),
            length.as_secs_f64(),
            book.requests,
            book.unexpected_count,
            NAMES[0],
            held.rss_kib / 1024.0,
            held.sockets + held.other_descriptors,
            held.threads,
            held.bpf_objects,
        ));
    }
}

/// Waits until nothing is under way any more, and looks at the proxies; what each held at rest.
async fn rest(floor: &Floor<'_>) -> Result<[verdict::Rest; 2]> {
    report::progress("the load is over; looking at what is held at rest");
    let deadline = Instant::now() + SETTLE;
    loop {
        floor.sample().await;
        if verdict::is_settled(&floor.samples.borrow()) || Instant::now() > deadline {
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    let first = floor.samples.borrow().len();
    for _ in 0..LOOKS {
        sleep(LOOK_EVERY).await;
        floor.sample().await;
    }
    let samples = floor.samples.borrow();
    let looks = samples.get(first..).context("no samples")?;
    Ok([verdict::Rest::of(looks, 0), verdict::Rest::of(looks, 1)])
}
