//! `cargo xtask image`: builds the container image, and says what came out and what to do with it.
//!
//! `deploy/docker/Dockerfile` is what is built; docker builds it without us. [`engine`] calls buildah and podman, [`host`]
//! takes this machine's compiler in place of the public base image, [`commit`] knows what the image is called after,
//! and [`facts`] reads the result.

pub(crate) mod commit;
pub(crate) mod engine;
pub(crate) mod facts;
mod host;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::workspace::Workspace;
use crate::{command, tools};
use commit::Commit;
use engine::Engine;
use facts::Facts;

/// The tools, by their names in [`tools::ALL`].
pub(crate) const ENGINE: &str = "podman";
/// Writes the bill of materials.
pub(crate) const BILL: &str = "cargo-cyclonedx";

const DOCKERFILE: &str = "deploy/docker/Dockerfile";
const NAME: &str = "localhost/holysheep-proxy";

/// Bytes of all files together. An installation waits for them on each node.
pub(crate) const LIMIT: u64 = 15_000_000;

/// Options of the command.
#[derive(Args)]
pub(crate) struct Options {
    /// The image's name [default: localhost/holysheep-proxy:VERSION]
    #[arg(long, value_name = "NAME")]
    tag: Option<String>,
    /// Write it to a file as well, which `docker load` and `podman load` read
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The image to compile in, with Rust and Debian 12's packages [default: that of the Dockerfile]
    #[arg(long, value_name = "IMAGE", conflicts_with = "host_toolchain")]
    builder: Option<String>,
    /// Compile with this machine's compiler, without a base image and without a network
    #[arg(long)]
    host_toolchain: bool,
    /// Where the sources are, for the image's label [default: origin, if its URL is one of the web]
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// Build twice from nothing and compare; takes several minutes
    #[arg(long)]
    check_reproducible: bool,
}

/// What to compile in.
pub(crate) enum Builder {
    /// The Dockerfile's own base.
    Default,
    /// Another one.
    Image(String),
    /// This machine's `/usr` and toolchain.
    Host,
}

/// How to build.
pub(crate) struct Recipe<'a> {
    pub(crate) tag: &'a str,
    pub(crate) builder: &'a Builder,
    pub(crate) commit: &'a Commit,
    /// Where cargo's results are kept from one build to the next.
    pub(crate) cache: PathBuf,
    /// Runs every step, although nothing has changed.
    pub(crate) afresh: bool,
}

/// The name of an image of this version.
pub(crate) fn tag(suffix: &str) -> String {
    format!("{NAME}:{}{suffix}", env!("CARGO_PKG_VERSION"))
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let wanted = |name| name == ENGINE || (options.host_toolchain && name == BILL);
    let missing = tools::ensure(workspace, tools::ALL.iter().filter(|t| wanted(t.name)));
    if let Some(lack) = missing.first() {
        bail!(
            "{} is needed and could not be installed: {}; or build {DOCKERFILE} with docker, as docs/image.md shows",
            lack.tool.name,
            lack.reason
        );
    }
    let engine = Engine::new(workspace)?;
    let tag = options.tag.clone().unwrap_or_else(|| tag(""));
    let builder = match (&options.builder, options.host_toolchain) {
        (Some(image), _) => Builder::Image(image.clone()),
        (None, true) => Builder::Host,
        (None, false) => Builder::Default,
    };
    let recipe = Recipe {
        tag: &tag,
        builder: &builder,
        commit: &Commit::of(workspace, options.source.as_deref()),
        cache: workspace.scratch("image/cache")?,
        afresh: false,
    };
    if options.check_reproducible {
        return check_reproducible(workspace, &engine, &recipe);
    }
    build(workspace, &engine, &recipe)?;
    let facts = Facts::of(&engine, &tag)?;
    println!("\n{facts}");
    if let Some(file) = &options.output {
        save(&engine, &tag, file)?;
    }
    println!("{}", next(&tag));
    Ok(ExitCode::SUCCESS)
}

/// Builds the image.
pub(crate) fn build(workspace: &Workspace, engine: &Engine, recipe: &Recipe<'_>) -> Result<()> {
    let commit = recipe.commit;
    println!("commit     {commit}");
    let mut buildah = engine.buildah();
    buildah
        // docker's own format would note names of containers that were there while building.
        .args(["build", "--format", "oci"])
        .args(["--timestamp", commit.epoch.as_str()])
        .args(["--file", DOCKERFILE, "--tag", recipe.tag])
        .args(commit.arguments())
        .env("TMPDIR", &recipe.cache)
        .current_dir(workspace.root());
    // Each step's result is kept where a step may take minutes although nothing has changed. On this machine's compiler
    // none does: cargo's own cache is enough, and leaves no images behind.
    if !matches!(recipe.builder, Builder::Host) {
        buildah.arg("--layers");
    }
    if recipe.afresh {
        buildah.arg("--no-cache");
    }
    let remedy = match recipe.builder {
        Builder::Host => {
            println!("base       this machine's /usr and Rust, without a network");
            buildah.args(host::prepare(workspace, engine)?);
            "the message of the step that failed is above"
        }
        Builder::Image(image) => {
            println!("base       {image}");
            buildah.args(["--build-arg", &format!("BUILDER={image}")]);
            "if the base could not be had: `--host-toolchain` does without"
        }
        Builder::Default => {
            println!("base       the Dockerfile's, unless `--builder` names another");
            "if the base could not be had: `--builder` takes another name for it, such as one with your mirror's host, \
             and `--host-toolchain` does without"
        }
    };
    command::run(buildah.arg("."), remedy)
}

/// Two builds with nothing in common but the sources.
fn check_reproducible(
    workspace: &Workspace,
    engine: &Engine,
    recipe: &Recipe<'_>,
) -> Result<ExitCode> {
    let mut builds = Vec::new();
    for number in ["1", "2"] {
        let cache = workspace.scratch("image")?.join(format!("afresh-{number}"));
        let tag = format!("{}-afresh-{number}", recipe.tag);
        remove(&cache)?;
        fs::create_dir_all(&cache)?;
        let recipe = Recipe {
            tag: &tag,
            builder: recipe.builder,
            commit: recipe.commit,
            cache: cache.clone(),
            afresh: true,
        };
        let started = Instant::now();
        build(workspace, engine, &recipe)?;
        let facts = Facts::of(engine, &tag)?;
        let seconds = started.elapsed().as_secs();
        println!("\nbuild {number} took {seconds} s\n{facts}");
        remove(&cache)?;
        engine.discard(&tag);
        builds.push(facts);
    }
    let same = builds.iter().all(|facts| facts.id == builds[0].id);
    if same {
        println!("Both builds gave the same image, {}.", builds[0].id);
        return Ok(ExitCode::SUCCESS);
    }
    println!("The builds differ: {} and {}", builds[0].id, builds[1].id);
    println!("Next: `podman image mount` both, and compare file by file.");
    Ok(ExitCode::FAILURE)
}

fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)
            .with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    Ok(())
}

fn save(engine: &Engine, tag: &str, file: &Path) -> Result<()> {
    // An archive is not added to, and buildah says that less well.
    if file.exists() {
        bail!("{} exists; remove it, or name another file", file.display());
    }
    let destination = format!("docker-archive:{}:{tag}", file.display());
    let mut buildah = engine.buildah();
    command::run(
        buildah.args(["push", "--quiet", tag, &destination]),
        "is the directory there, and writable?",
    )?;
    let size = fs::metadata(file)?.len();
    println!("{}  {}", file.display(), facts::megabytes(size));
    Ok(())
}

fn next(tag: &str) -> String {
    format!(
        "Next:\n  run it:   podman run --rm -p 127.0.0.1:8080:8080 --read-only --cap-drop all \\\n              \
         -e HOLYSHEEP_API_KEY -e HOLYSHEEP_AUTH=open {tag}\n  push it:  podman push {tag} YOUR-REGISTRY/holysheep-proxy:{}",
        env!("CARGO_PKG_VERSION")
    )
}
