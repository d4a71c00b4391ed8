package import ServiceKit

/// The settings of analytics alone.
package struct AnalyticsSettings: ServiceSettings {
    /// Whether the network of a client's address (never the whole address) is kept with its events.
    package let keepsNetworks: Bool

    package init(_ reader: inout SettingsReader) {
        keepsNetworks =
            reader.choice(
                "ANALYTICS_ADDRESSES", default: "truncated", of: ["truncated", "none"],
                "What is kept of client addresses: their network (/24 or /48), or nothing") == "truncated"
    }
}
