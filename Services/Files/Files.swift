package import Contracts
import Logging
import Postgres
package import ServiceKit

/// The files of organizations: streamed in and out, encrypted at rest, counted against a quota.
package enum Files: Program {
    package typealias Settings = FilesSettings
    package static let name = ServiceName.files
    package static let port = 8087
    package static let summary = "Keeps the files of organizations, encrypted at rest, and counts what they take."

    package static func assemble(_ settings: FilesSettings, _ house: Foundations) throws -> Assembly {
        try assemble(settings, house, storage: LocalStorage(directory: settings.directory))
    }

    /// The same with storage of the caller's choosing.
    static func assemble(_ settings: FilesSettings, _ house: Foundations, storage: any ContentStorage) throws -> Assembly {
        let vault = Vault(
            storage: storage, database: house.database,
            master: try MasterKey(settings.masterKey, orBeside: settings.directory, logger: house.logger))
        let metrics = FileMetrics()
        let routes = FileRoutes(
            database: house.database, vault: vault, limits: settings.limits, now: house.now, logger: house.logger, metrics: metrics)
        let texts = TextRoutes(
            database: house.database,
            texts: FileTexts(vault: vault, pdf: PDFText(program: settings.pdftotext, logger: house.logger)), logger: house.logger,
            metrics: metrics)
        let sweep = StorageSweep(
            database: house.database, storage: storage, now: house.now, pause: settings.sweepPause, logger: house.logger)
        return Assembly(
            endpoints: [routes.endpoints, texts.endpoints], workers: [sweep],
            checks: [ReadinessCheck("storage", required: true) { try await storage.ping() }], owned: [OwnedObjects("files")])
    }
}
