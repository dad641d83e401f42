//! What a function belongs to, by its name, for [`super`].

/// A part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The proxy's own functions, and what is inlined into them.
    Own,
    /// TLS records: rustls, and the ciphers of AWS-LC.
    Tls,
    /// HTTP by hyper and the crates below it.
    Http,
    /// Tasks, timers and sockets: tokio and mio.
    Runtime,
    /// The system's allocator.
    Memory,
    /// Copying, filling and comparing bytes.
    Bytes,
    /// The C library's entries to system calls, and all else.
    Rest,
}

/// Crates by part; the first name in a function's path that is one of them decides.
const CRATES: [(&str, Part); 23] = [
    ("holysheep_proxy", Part::Own),
    ("holysheep_bench", Part::Own),
    ("proxy_common", Part::Own),
    ("tokio_rustls", Part::Tls),
    ("rustls", Part::Tls),
    ("aws_lc_rs", Part::Tls),
    ("aws_lc_sys", Part::Tls),
    ("webpki", Part::Tls),
    ("hyper", Part::Http),
    ("hyper_util", Part::Http),
    ("http", Part::Http),
    ("http_body", Part::Http),
    ("http_body_util", Part::Http),
    ("httparse", Part::Http),
    ("httpdate", Part::Http),
    ("h2", Part::Http),
    ("want", Part::Http),
    ("tokio", Part::Runtime),
    ("mio", Part::Runtime),
    ("futures_util", Part::Runtime),
    ("futures_channel", Part::Runtime),
    ("memchr", Part::Bytes),
    ("bytes", Part::Bytes),
];

impl Part {
    /// In the order of the table.
    pub(super) const ALL: [Self; 7] = [
        Self::Own,
        Self::Tls,
        Self::Http,
        Self::Runtime,
        Self::Memory,
        Self::Bytes,
        Self::Rest,
    ];

    /// As the table has it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Own => "its own code",
            Self::Tls => "TLS: rustls, AWS-LC",
            Self::Http => "HTTP: hyper and below",
            Self::Runtime => "tasks, sockets: tokio, mio",
            Self::Memory => "allocator",
            Self::Bytes => "bytes copied, searched",
            Self::Rest => "the rest",
        }
    }

    /// By a function's name, demangled.
    pub(super) fn of(function: &str) -> Self {
        if function.contains("::") {
            let own = |name: &str| CRATES.iter().find(|(known, _)| *known == name);
            let names = function.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            return names
                .filter_map(own)
                .map(|(_, part)| *part)
                .next()
                .unwrap_or(Self::Rest);
        }
        let starts = |all: &[&str]| all.iter().any(|start| function.starts_with(start));
        let has = |all: &[&str]| all.iter().any(|part| function.contains(part));
        if starts(&["__mem", "__str", "mem", "str"]) {
            Self::Bytes
        } else if has(&[
            "malloc",
            "free",
            "calloc",
            "realloc",
            "memalign",
            "tcache",
            "unlink_chunk",
            "arena",
        ]) {
            Self::Memory
        } else if has(&[
            "aws_lc", "aes", "gcm", "ghash", "sha", "chacha", "poly1305", "EVP_", "CRYPTO_",
            "OPENSSL_",
        ]) {
            Self::Tls
        } else {
            Self::Rest
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        for (function, part) in [
            ("holysheep_proxy::pipeline::plan", Part::Own),
            ("<rustls::conn::Reader as std::io::Read>::read", Part::Tls),
            (
                "core::ptr::drop_in_place<hyper::body::Incoming>",
                Part::Http,
            ),
            ("tokio::runtime::context::with_scheduler", Part::Runtime),
            ("_int_malloc", Part::Memory),
            ("__memcpy_avx_unaligned_erms", Part::Bytes),
            ("aesni_gcm_encrypt", Part::Tls),
            ("epoll_wait", Part::Rest),
        ] {
            assert_eq!(Part::of(function), part, "{function}");
        }
    }
}
