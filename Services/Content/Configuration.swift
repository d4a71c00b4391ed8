package import ServiceKit

/// What content alone is told through its environment.
package struct ContentSettings: ServiceSettings {
    /// Revisions kept of one article; the oldest go first.
    package let revisionsKept: Int

    package init(_ reader: inout SettingsReader) {
        revisionsKept = reader.integer("CONTENT_REVISIONS", default: 50, in: 1...1000, "Revisions kept of one article")
    }
}
