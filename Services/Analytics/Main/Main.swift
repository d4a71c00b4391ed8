import AnalyticsService
import ServiceKit

@main
struct Main {
    static func main() async { await Launch.run(Analytics.self) }
}
