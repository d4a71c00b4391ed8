package import ServiceKit

/// The settings of files (README.md lists them).
package struct FilesSettings: ServiceSettings {
    let directory: String
    let limits: StorageLimits
    /// Base64 of 32 bytes; nil for a key of this machine, made on the first start.
    let masterKey: String?
    let sweepPause: Duration
    /// A name that is looked for on the path, or a path.
    let pdftotext: String

    package init(_ reader: inout SettingsReader) {
        let path = reader.text("FILES_DIRECTORY", default: "data/files", "Directory that holds the sealed content")
        // The key file's name is made from it, and must not come to lie inside.
        directory = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        limits = StorageLimits(
            uploadBytes: reader.integer(
                "FILES_MAX_UPLOAD_BYTES", default: 5_000_000_000, in: 1...1_000_000_000_000, "Largest file, in bytes"),
            quotaBytes: reader.integer(
                "FILES_QUOTA_BYTES", default: 10_000_000_000, in: 1...1_000_000_000_000_000, "Storage of one organization, in bytes"))
        masterKey = reader.optionalText(
            "FILES_MASTER_KEY", "Key that wraps the organizations' keys: base64 of 32 bytes; without it one is made beside the directory")
        if let masterKey, MasterKey.bytes(masterKey) == nil {
            reader.refuse("TRIONEX_FILES_MASTER_KEY must be the base64 of exactly 32 bytes (openssl rand -base64 32)")
        }
        sweepPause = .seconds(
            reader.integer("FILES_SWEEP_SECONDS", default: 3600, in: 60...86_400, "Pause between two searches for leftovers"))
        pdftotext = reader.text("FILES_PDFTOTEXT", default: "pdftotext", "Program that reads the text of PDF files (poppler-utils)")
    }
}
