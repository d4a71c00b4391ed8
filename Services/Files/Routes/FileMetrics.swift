import Metrics

/// What this service counts besides what every service does.
struct FileMetrics: Sendable {
    /// Bytes of content, without what encryption adds.
    let uploaded = Counter(label: "trionex_files_uploaded_bytes_total")
    let downloaded = Counter(label: "trionex_files_downloaded_bytes_total")
    /// Contents that were not what was stored. More than none wants an operator.
    let damaged = Counter(label: "trionex_files_damaged_total")
}
