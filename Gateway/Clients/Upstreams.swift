import Contracts
import Foundation
import ServiceKit

/// Where the services are: the addresses of the settings, and what the gateway file says instead or besides.
enum Upstreams {
    /// By name of the group. Throws `ProgramHost.SettingsRefused` for addresses that the data path cannot reach.
    static func specs(_ neighbours: [ServiceName: [String]], _ file: GatewayFile) throws -> [String: UpstreamSpec] {
        var problems: [String] = []
        var specs = file.upstreams
        for (service, texts) in neighbours {
            let addresses = texts.compactMap { text -> UpstreamSpec.Address? in
                let address = address(text)
                if address == nil {
                    problems.append(
                        "TRIONEX_\(service.rawValue.uppercased())_URL: \"\(text)\" must be http://host:port without a path: inside the gateway speaks plain HTTP/1.1"
                    )
                }
                return address
            }
            if specs[service.rawValue] == nil {
                specs[service.rawValue] = UpstreamSpec(addresses: addresses)
            } else if specs[service.rawValue]?.addresses.isEmpty == true {
                specs[service.rawValue]?.addresses = addresses
            }
        }
        guard problems.isEmpty else { throw ProgramHost.SettingsRefused(problems: problems) }
        return specs
    }

    private static func address(_ text: String) -> UpstreamSpec.Address? {
        guard let url = URLComponents(string: text), url.scheme == "http", let host = url.host, ["", "/"].contains(url.path) else { return nil }
        let name = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        return UpstreamSpec.Address(host: name, port: url.port ?? 80)
    }
}
